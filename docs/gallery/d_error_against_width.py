"""
Error against width
===================

Tickets of one small CNN, out of random networks of growing width: the wider the random network, the closer its
ticket. The picture of the README is this figure with five seeds and widths up to 8,192.
"""

from sslth.data.digits import load_digits
from sslth.experiments.error_vs_width import error_vs_width, fit_power_law
from sslth.experiments.figures import draw_error_vs_width
from sslth.experiments.store import Store
from sslth.networks import small_cnn
from sslth.networks.training import train_classifier

# %%
# A target network: two convolutions and a linear layer, trained for a moment on 8x8 digits.
digits = load_digits()
network = train_classifier(small_cnn, digits.train_images, digits.train_labels, epochs=3)

# %%
# A ticket for each width and seed. The store keeps every result as soon as it is there: with a file name in place of
# ``:memory:`` an interrupted run goes on where it stopped.
with Store(":memory:") as store:
    points = error_vs_width(
        network,
        digits.test_images[:1],
        digits.test_images[:50],
        widths=(256, 512, 1024, 2048),
        seeds=range(2),
        low=0.0,
        high=1.0,
        store=store,
    )
law = fit_power_law([point.width for point in points], [point.relative_output_error for point in points])
low, high = law.slope_interval
print(f"error ~ width^{law.slope:.2f}, 95 % interval of the exponent [{low:.2f}, {high:.2f}]")

# %%
# The line is straight only over short ranges; the exponent is one of these widths, not a limit.
figure = draw_error_vs_width(points)
