from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sslth.errors import InvalidInputError
from sslth.networks import trained_on_digits
from sslth.networks.trained import RECIPES, digits_for


def test_training_is_repeatable_and_the_cache_gives_the_same_network(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    first = trained_on_digits("cnn1d", cache=tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    (stored,) = tmp_path.iterdir()
    before = stored.stat().st_mtime_ns
    loaded = trained_on_digits("cnn1d", cache=tmp_path)
    again = trained_on_digits("cnn1d")
    assert stored.stat().st_mtime_ns == before
    for name, values in first.model.state_dict().items():
        assert torch.equal(values, loaded.model.state_dict()[name])
        assert torch.equal(values, again.model.state_dict()[name])
    assert first.accuracy == loaded.accuracy > 0.9  # a tenth is chance
    assert not loaded.model.training


def test_every_recipe_makes_a_network_that_takes_its_images() -> None:
    for recipe in RECIPES.values():
        train_images, train_labels, test_images, test_labels = digits_for(recipe)
        assert len(train_images) == len(train_labels) == 1437
        assert len(test_images) == len(test_labels) == 360
        assert 0.0 <= float(train_images.min()) < float(train_images.max()) <= 1.0
        with torch.no_grad():
            assert recipe.make().eval()(test_images[:2]).shape == (2, 10)


def test_a_damaged_file_and_an_unknown_name_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="resnet20_narrow"):
        trained_on_digits("resnet21")
    trained_on_digits("cnn1d", cache=tmp_path)
    (stored,) = tmp_path.iterdir()
    stored.write_bytes(stored.read_bytes()[:-8])
    with pytest.raises(InvalidInputError, match="delete it to train again"):
        trained_on_digits("cnn1d", cache=tmp_path)
