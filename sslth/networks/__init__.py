"""The networks that tests, demo, mining and benchmarks share.

`sslth extract --arch sslth.networks:small_cnn` builds one by its name.
"""

from sslth.networks.small_cnn import small_cnn

__all__ = ["small_cnn"]
