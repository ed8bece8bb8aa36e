"""Tickets of real trained networks: a face detector and a pitch tracker that other people trained."""
