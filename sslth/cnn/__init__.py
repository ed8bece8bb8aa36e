"""Tickets of convolutional networks: targets, random networks, extraction, certificates. torch lives here."""
