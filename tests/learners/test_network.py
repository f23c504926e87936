"""What both networks share: augmentation on the device, dropout passes, one way to train and to store."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from numpy.typing import NDArray

from ml_backend.learners import architectures, dropout
from ml_backend.learners import network as net
from ml_backend.learners import pictures as on_device
from ml_backend.learners.contract import Images
from ml_backend.learners.network import Network
from ml_backend.learners.pictures import Augmentation, Pictures, augmented
from ml_backend.learners.pixels import Bytes
from ml_backend.learners.training import Schedule, batches, train
from plugins.processors import device


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    torch.set_num_threads(1)


def some_images(n: int = 12, side: int = 8, channels: int = 1) -> Bytes:
    return np.random.default_rng(0).integers(0, 256, size=(n, side, side, channels), dtype=np.uint8)


def some_pictures(n: int = 12, channels: int = 1) -> Pictures:
    return Pictures(Images.in_memory(some_images(n, 8, channels)), 8, "L" if channels == 1 else "RGB")


def networks() -> dict[str, tuple[Network, Pictures]]:
    torch.manual_seed(0)
    return {
        "small": (architectures.small(3, 8, 1, 0.5), some_pictures()),
        "resnet18": (architectures.resnet18(3, 8, 0.5), some_pictures(channels=3)),
    }


every = pytest.mark.parametrize("kind", ["small", "resnet18"])


@pytest.mark.parametrize(("crop", "flip"), [(0, False), (0, True), (2, False), (3, True)])
def test_augmentation_is_the_literal_loop(crop: int, flip: bool) -> None:
    images = some_images(40, 6, 3)
    moves = Augmentation(crop, flip).draw(40, np.random.default_rng(1))
    result = augmented(torch.from_numpy(images).to(device()), moves, crop).cpu().numpy()
    assert moves.mirrored.any().item() == flip
    for i, before in enumerate(images):
        down, right = (int(move) for move in moves.offsets[i])
        padded = np.pad(before, ((crop, crop), (crop, crop), (0, 0)))
        cut = padded[down : down + 6, right : right + 6]
        assert np.array_equal(result[i], cut[:, ::-1] if moves.mirrored[i] else cut)
    part = augmented(torch.from_numpy(images[3:5]).to(device()), moves[3:5], crop)
    assert np.array_equal(part.cpu().numpy(), result[3:5])


def test_shifts_reach_every_offset_and_no_other() -> None:
    moves = Augmentation(2, True).draw(2000, np.random.default_rng(0))
    assert set(moves.offsets.flatten().tolist()) == {0, 1, 2, 3, 4}
    assert 0.45 < moves.mirrored.float().mean().item() < 0.55


def test_every_item_is_in_one_batch_and_none_is_alone() -> None:
    for n in range(2, 70):
        parts = batches(n, 16)
        assert [i for part in parts for i in range(n)[part]] == list(range(n))
        assert all(part.stop - part.start > 1 for part in parts)


def test_a_set_too_large_to_keep_gives_the_same_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = some_pictures()
    monkeypatch.setattr(on_device, "KEPT", 100)
    again = some_pictures()
    items = torch.tensor([7, 0, 7])
    assert kept._kept is not None
    assert again._kept is None
    assert torch.equal(kept[items], again[items])
    assert torch.equal(kept[3:9], again[3:9])
    for one, other in zip(kept.moments(), again.moments(), strict=True):
        assert torch.equal(one, other)


def test_moments_are_the_mean_and_deviation_of_each_channel() -> None:
    mean, std = some_pictures(channels=3).moments()
    pixels = some_images(channels=3) / 255
    assert np.allclose(mean.numpy(), pixels.mean(axis=(0, 1, 2)))
    assert np.allclose(std.numpy(), pixels.std(axis=(0, 1, 2)))
    blank = Images.in_memory(np.zeros((2, 8, 8, 1), dtype=np.uint8))
    assert np.allclose(Pictures(blank, 8, "L").moments()[1].numpy(), 1 / 255)


@every
def test_stored_arrays_are_the_network(kind: str) -> None:
    network, pictures = networks()[kind]
    before = net.infer(network, pictures)
    arrays = net.to_arrays(network)
    torch.manual_seed(1)
    other = architectures.small(3, 8, 1, 0.0) if kind == "small" else architectures.resnet18(3, 8, 0.0)
    net.load_arrays(other, arrays)
    for one, again in zip(before, net.infer(other, pictures), strict=True):
        assert np.array_equal(one, again)
    with pytest.raises(ValueError, match="other layers than this version's; train once more"):
        net.load_arrays(other, {"conv1.weight": arrays["mean"]})


@every
def test_predicted_labels_are_the_largest_logits(kind: str) -> None:
    network, pictures = networks()[kind]
    logits, features = net.infer(network, pictures)
    assert np.array_equal(net.labels(network, pictures), logits.argmax(axis=1))
    assert features.shape == (12, network.head.in_features)


def test_a_training_step_is_one_graph_to_the_compiler() -> None:
    """What torch.compile needs on a GPU; here the captured graph is run as it is."""
    network, pictures = networks()["small"]
    captured = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    network.rate = 0.0
    assert torch.allclose(captured(pictures[0:12].cpu()), network(pictures[0:12].cpu()))


def literal(network: Network, pictures: Pictures, masks: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """(N, M, C) probabilities, image by image and pass by pass, on a network in evaluation mode."""
    net.on_device(network).eval()
    weights = net.to_arrays(network)
    out = np.empty((len(pictures), len(masks[0]), network.head.out_features))
    with torch.no_grad():
        for i in range(len(pictures)):
            vector = network.trunk(pictures[i : i + 1])[0].cpu().numpy()
            for m in range(len(masks[0])):
                x = vector * masks[0][m]
                if network.hidden is not None:
                    x = np.maximum(weights["hidden.weight"] @ x + weights["hidden.bias"], 0) * masks[1][m]
                out[i, m] = scipy.special.softmax(weights["head.weight"] @ x + weights["head.bias"])
    return out


@every
def test_passes_are_the_means_of_the_literal_ones(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, pictures = networks()[kind]
    masks = dropout.masks(7, network.widths, 0.5, seed=3)
    p = literal(network, pictures, masks)
    monkeypatch.setattr(net, "BLOCKS", {"cpu": 5, "cuda": 5})
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    columns = net.expected(network.train(), pictures, masks)
    assert np.allclose(columns["expected_probabilities"], p.mean(axis=1), atol=1e-5)
    assert np.allclose(columns["expected_entropy"], scipy.special.entr(p).sum(axis=2).mean(axis=1), atol=1e-5)
    assert p.std(axis=1).max() > 0.01
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} changed: batch norm was not in evaluation mode"


def test_masks_agree_with_the_dropout_of_training() -> None:
    """The mean over many masks is the mean over many of torch's own dropouts."""
    network, pictures = networks()["small"]
    columns = net.expected(network, pictures, dropout.masks(3000, network.widths, 0.5, seed=0))
    network.train()
    total = torch.zeros(12, 3, device=device())
    with torch.no_grad():
        vectors = network.trunk(pictures[0:12])
        for _ in range(3000):
            total += torch.softmax(network.tail(vectors)[1], dim=1)
    assert np.allclose(columns["expected_probabilities"], (total / 3000).cpu().numpy(), atol=0.02)


def test_masks_keep_the_mean_and_know_their_seed() -> None:
    (mask,) = dropout.masks(400, [300], 0.3, seed=1)
    assert set(np.unique(mask).tolist()) == {0.0, float(np.float32(1 / 0.7))}
    assert abs(float(mask.mean()) - 1) < 0.01
    assert np.array_equal(mask, dropout.masks(400, [300], 0.3, seed=1)[0])
    assert not np.array_equal(mask, dropout.masks(400, [300], 0.3, seed=2)[0])


@pytest.mark.parametrize("adaptive", [False, True])
def test_training_sees_only_its_items(adaptive: bool) -> None:
    pictures, labels = some_pictures(), np.arange(12) % 3
    schedule = Schedule(10, 4, 0.01, 0.9, 0.0, Augmentation(1, False), adaptive)
    heard: list[int] = []

    def trained(answers: NDArray[np.int64]) -> dict[str, Any]:
        with net.seeded(0):
            fresh = architectures.small(3, 8, 1, 0.5)
            train(fresh, pictures, answers, np.arange(8), schedule, 0, heard.append)
        return net.to_arrays(fresh)

    first, other = trained(labels), trained(np.concatenate([labels[:8], [0, 0, 0, 0]]))
    assert heard == [*range(10)] * 2
    for name, array in first.items():
        assert np.array_equal(array, other[name]), name


def test_a_rate_too_high_is_named() -> None:
    network, pictures = networks()["small"]
    schedule = Schedule(5, 4, 10.0, 0.9, 1.0, Augmentation(0, False))
    with pytest.raises(ValueError, match=r"diverged in epoch .*; lower the learning rate"):
        train(network, pictures, np.arange(12) % 3, np.arange(12), schedule, 0, lambda _: None)
