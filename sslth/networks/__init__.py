"""The networks that tests, demo, mining and benchmarks share.

`sslth extract --arch sslth.networks:small_cnn` builds one by its name.
"""

from sslth.networks.lenet5 import lenet5
from sslth.networks.small_cnn import small_cnn
from sslth.networks.two_layer import two_layer

__all__ = ["lenet5", "small_cnn", "two_layer"]
