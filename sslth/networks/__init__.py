"""The networks that tests, demo, mining and benchmarks share.

`sslth extract --arch sslth.networks:small_cnn` builds one by its name.
"""

from sslth.networks.cnn1d import cnn1d
from sslth.networks.conv import conv2, conv4, conv6
from sslth.networks.densenet import densenet121
from sslth.networks.lenet5 import lenet5
from sslth.networks.lenet5_tanh import lenet5_tanh
from sslth.networks.lenet_300_100 import lenet_300_100
from sslth.networks.mobilenet import mobilenet_v2
from sslth.networks.resnet import resnet18, resnet20
from sslth.networks.small_cnn import small_cnn
from sslth.networks.squeezenet import squeezenet1_0, squeezenet1_1
from sslth.networks.trained import TrainedNetwork, trained_on_digits
from sslth.networks.two_layer import two_layer
from sslth.networks.vgg import vgg11_bn

__all__ = [
    "TrainedNetwork",
    "cnn1d",
    "conv2",
    "conv4",
    "conv6",
    "densenet121",
    "lenet5",
    "lenet5_tanh",
    "lenet_300_100",
    "mobilenet_v2",
    "resnet18",
    "resnet20",
    "small_cnn",
    "squeezenet1_0",
    "squeezenet1_1",
    "trained_on_digits",
    "two_layer",
    "vgg11_bn",
]
