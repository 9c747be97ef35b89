from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from braincog_tmkt.data.augment import build_augmentations
from braincog_tmkt.data.batch import BatchRNG
from braincog_tmkt.data.pairs import PairSet
from braincog_tmkt.data.splits import Protocol, Split, make_split
from braincog_tmkt.data.types import Index, Item
from braincog_tmkt.errors import DataError
from tests.engine import toys  # noqa: F401  registers the augmentation blend

COUNTS = {"ant": 12, "bee": 30, "cup": 21}
EXTRA = {"ant": 0, "bee": 3, "cup": 40}
T, SIZE = 3, 6


def make_index() -> Index:
    recordings = [Item(f"{name}/{i:03}", name) for name, n in COUNTS.items() for i in range(n)]
    extra = [Item(f"{name}/x{i:03}", name) for name, n in EXTRA.items() for i in range(n)]
    return Index(tuple(COUNTS), tuple(recordings), tuple(sorted(recordings + extra)))


def telling_frames(index: Index) -> SimpleNamespace:
    """Frames that tell their own row: every pixel of recording i is i, every pixel of image j is j."""
    events = np.empty((len(index.recordings), T, 2, SIZE, SIZE), np.float32)
    images = np.empty((len(index.statics), SIZE, SIZE), np.uint8)
    events[:] = np.arange(len(events), dtype=np.float32)[:, None, None, None, None]
    images[:] = np.arange(len(images), dtype=np.uint8)[:, None, None]
    return SimpleNamespace(events=events, images=images)


INDEX = make_index()


def make_pairs(**protocol) -> tuple[PairSet, Split]:
    split = make_split(INDEX, Protocol(**protocol))
    return PairSet(INDEX, split, telling_frames(INDEX)), split


def shown(static: torch.Tensor) -> list[Item]:
    """The images a batch shows, read off their pixels."""
    return [INDEX.statics[round(float(value) * 255)] for value in static[:, 0, 0, 0]]


def whole(seed: int, rows: int) -> BatchRNG:
    return BatchRNG(seed=seed, start=0, rows=rows, total=rows)


@pytest.mark.parametrize(("name", "pool"), [("clean", "partners"), ("clean", "open"), ("published", "partners")])
def test_partners_are_of_the_same_class_and_from_the_pool(name, pool):
    pairs, split = make_pairs(name=name, static_pool=pool)
    rows, seen = pairs.rows("train"), set()
    for seed in range(40):
        batch = pairs.batch(rows, whole(seed, len(rows)))
        for row, label, image in zip(rows.tolist(), batch.label.tolist(), shown(batch.static), strict=True):
            assert image.key.split("/")[0] == INDEX.recordings[row].key.split("/")[0] == INDEX.classes[label]
            assert image.key in split.pool
            seen.add(image.key)
    assert seen == set(split.pool), "every image of the pool is drawn sooner or later"


def test_a_batch_holds_what_it_says():
    pairs, split = make_pairs()
    rows = pairs.rows("train")[[5, 0, 17, 5]]
    batch = pairs.batch(rows, rng := whole(3, 4))
    assert batch.static.shape == (4, 2, SIZE, SIZE)
    assert batch.static.dtype == batch.events.dtype == torch.float32
    assert torch.equal(batch.static[:, 0], batch.static[:, 1])
    assert torch.equal(batch.events, rows.float().view(-1, 1, 1, 1, 1).expand(4, T, 2, SIZE, SIZE))
    assert [INDEX.recordings[row].key for row in rows] == [split.train[i] for i in (5, 0, 17, 5)]
    assert batch.index.tolist() == rows.tolist()
    assert batch.rng is rng


def test_static_images_lie_between_zero_and_one():
    split = make_split(INDEX, Protocol())
    frames = telling_frames(INDEX)
    frames.images[:] = np.array([0, 255], np.uint8).repeat(SIZE // 2)
    static = PairSet(INDEX, split, frames).batch(torch.tensor([0]), whole(0, 1)).static
    assert (static.min(), static.max()) == (0, 1)


def test_rows_are_those_of_the_split():
    pairs, split = make_pairs()
    for part in ("train", "val", "test"):
        rows = pairs.rows(part)
        assert rows.dtype == torch.int64
        assert tuple(INDEX.recordings[row].key for row in rows) == getattr(split, part)
    assert len(pairs) == len(pairs.labels) == sum(COUNTS.values())
    assert [pairs.classes[label] for label in pairs.labels] == [item.class_name for item in INDEX.recordings]


def test_labels_follow_the_class_order_of_the_index():
    index = Index(("cup", "ant", "bee"), INDEX.recordings, INDEX.statics)
    pairs = PairSet(index, make_split(index, Protocol()), telling_frames(index))
    rows = pairs.rows("train")
    batch = pairs.batch(rows, whole(0, len(rows)))
    assert [index.classes[label] for label in batch.label] == [image.class_name for image in shown(batch.static)]
    assert [index.classes[label] for label in batch.label] == [INDEX.recordings[row].class_name for row in rows]


@pytest.mark.parametrize("augment", [[], ["crop", "flip", "rotate"], ["crop", "blend", "flip"]])
def test_two_ranks_draw_what_one_rank_draws(augment):
    split = make_split(INDEX, Protocol())
    frames = telling_frames(INDEX)
    frames.events[:] = np.random.default_rng(0).poisson(1.0, frames.events.shape)
    pairs = PairSet(INDEX, split, frames)
    rows = pairs.rows("train")[torch.randperm(40, generator=torch.Generator().manual_seed(0))[:8]]
    augmentations = build_augmentations(augment)
    one = pairs.batch(rows, whole(11, 8), augmentations)
    two = [pairs.batch(rows, BatchRNG(seed=11, start=at, rows=4, total=8), augmentations) for at in (0, 4)]
    for field in ("static", "events", "label", "index", "target"):
        assert torch.equal(getattr(one, field), torch.cat([getattr(half, field) for half in two]))
    assert not torch.equal(one.static, pairs.batch(rows, whole(12, 8)).static)


def test_mixed_recordings_come_with_the_shares_of_their_classes():
    pairs, _ = make_pairs()
    rows = pairs.rows("train")[::5]
    batch = pairs.batch(rows, rng := whole(3, len(rows)), build_augmentations(["blend"]))
    draw = rng.generator("blend")
    share, partner = draw.beta(2, 2, len(rows)), draw.permutation(len(rows))
    pixels = share * rows.numpy() + (1 - share) * rows.numpy()[partner]
    assert batch.events[:, 0, 0, 0, 0].numpy() == pytest.approx(pixels, rel=1e-5)
    classes = np.eye(3)[batch.label.numpy()]
    assert batch.target.numpy() == pytest.approx(share[:, None] * classes + (1 - share[:, None]) * classes[partner])
    assert torch.equal(pairs.batch(rows, rng).target, batch.label)


def test_static_images_alone_stand_in_the_place_of_the_events():
    pairs, _ = make_pairs()
    rows, rng = pairs.rows("train")[:8], whole(3, 8)
    expected = pairs.batch(rows, rng)
    pairs._events = None  # no event frame is read
    batch = pairs.batch(rows, rng, static_only=True)
    assert torch.equal(batch.events, expected.static[:, None])
    assert torch.equal(batch.static, expected.static)
    assert torch.equal(batch.target, expected.label)


def test_static_images_alone_need_some():
    index = Index(INDEX.classes, INDEX.recordings, ())
    pairs = PairSet(index, make_split(index, Protocol("clean")), telling_frames(index))
    with pytest.raises(DataError, match="none to draw"):
        pairs.batch(pairs.rows("train")[:5], whole(0, 5), static_only=True)


def test_each_presentation_draws_uniformly():
    pairs, split = make_pairs(static_pool="open")
    for name in COUNTS:
        row = next(row for row in pairs.rows("train") if INDEX.recordings[row].class_name == name)
        drawable = [key for key in split.pool if key.startswith(name)]
        rows = row.repeat(200 * len(drawable))
        keys = [image.key for image in shown(pairs.batch(rows, whole(5, len(rows))).static)]
        counts = [keys.count(key) for key in drawable]
        assert sum(counts) == len(rows)
        assert chisquare(counts).pvalue > 1e-3


def test_partners_come_from_their_own_stream_of_random_numbers():
    pairs, split = make_pairs()
    rows = pairs.rows("train")
    uniform = whole(7, len(rows)).uniform(stream="partner").tolist()
    expected = []
    for row, u in zip(rows.tolist(), uniform, strict=True):
        drawable = [key for key in split.pool if key.startswith(INDEX.recordings[row].class_name)]
        expected.append(drawable[int(u * len(drawable))])
    assert [image.key for image in shown(pairs.batch(rows, whole(7, len(rows))).static)] == expected


def test_augmentations_run_in_the_order_listed_and_on_events_only():
    split = make_split(INDEX, Protocol())
    frames = telling_frames(INDEX)
    frames.events[:] = np.random.default_rng(0).poisson(1.0, frames.events.shape)
    pairs = PairSet(INDEX, split, frames)
    rows, rng = pairs.rows("train")[:16], whole(2, 16)
    plain = pairs.batch(rows, rng)
    for order in (["crop", "rotate"], ["rotate", "crop"]):
        first, second = build_augmentations(order)
        batch = pairs.batch(rows, rng, (first, second))
        assert torch.equal(batch.events, second(*first(plain.events, plain.label, rng), rng)[0])
        assert torch.equal(batch.static, plain.static)
    assert torch.equal(pairs.events(rows)[0], plain.events), "the stored frames are left as they are"


def test_evaluation_touches_no_static_image():
    pairs, _ = make_pairs()
    pairs._images = None
    rows = pairs.rows("test")
    events, labels = pairs.events(rows)
    assert torch.equal(events[:, 0, 0, 0, 0], rows.float())
    assert torch.equal(labels, pairs.labels[rows])


@pytest.mark.parametrize("part", ["val", "test"])
def test_held_out_recordings_cannot_be_trained_on(part):
    pairs, _ = make_pairs()
    rows = torch.cat([pairs.rows("train")[:3], pairs.rows(part)[:1]])
    with pytest.raises(DataError, match="has validation or test recordings"):
        pairs.batch(rows, whole(0, 4))


def test_rows_are_read_from_the_memory_map_when_asked_for(tmp_path):
    frames = telling_frames(INDEX)
    for name in ("events", "images"):
        np.save(tmp_path / f"{name}.npy", getattr(frames, name))
    maps = SimpleNamespace(**{name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("events", "images")})
    pairs = PairSet(INDEX, make_split(INDEX, Protocol()), maps).to("cpu")
    writer = np.load(tmp_path / "events.npy", mmap_mode="r+")
    writer[7] = 1000
    writer.flush()
    assert pairs.events(torch.tensor([7, 8]))[0][:, 0, 0, 0, 0].tolist() == [1000, 8]
    assert pairs.batch(torch.tensor([0]), whole(0, 1)).static.shape == (1, 2, SIZE, SIZE)


@pytest.mark.filterwarnings("error")
def test_read_only_memory_maps_raise_no_warning(tmp_path):
    np.save(tmp_path / "events.npy", telling_frames(INDEX).events)
    np.save(tmp_path / "images.npy", telling_frames(INDEX).images)
    maps = SimpleNamespace(
        events=np.load(tmp_path / "events.npy", mmap_mode="r"), images=np.load(tmp_path / "images.npy", mmap_mode="r")
    )
    PairSet(INDEX, make_split(INDEX, Protocol()), maps)


def test_batches_live_on_the_device_and_frames_only_if_they_fit():
    # The meta device stands for an accelerator: what has moved there has lost its numbers and cannot come back.
    rows, augment = torch.tensor([0, 1]), build_augmentations(["crop", "flip", "rotate"])
    frames = telling_frames(INDEX)
    size = frames.events.nbytes + frames.images.nbytes
    for max_bytes, stays in ((size - 1, True), (size, False)):
        pairs = make_pairs()[0].to("meta", max_bytes=max_bytes)
        batch = pairs.batch(rows, whole(0, 2), augment)
        assert {part.device.type for part in (batch.static, batch.events, batch.label, batch.index)} == {"meta"}
        assert {part.device.type for part in pairs.events(rows)} == {"meta"}
        if stays:
            assert pairs.to("cpu", size).events(rows)[0][:, 0, 0, 0, 0].tolist() == [0, 1]
        else:
            with pytest.raises(NotImplementedError):
                pairs.to("cpu", size)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_makes_the_same_batches():
    rows, augment = torch.arange(8), build_augmentations(["crop", "flip", "rotate"])
    here = make_pairs()[0].batch(rows, whole(0, 8), augment)
    for max_bytes in (0, 2**30):
        there = make_pairs()[0].to("cuda", max_bytes).batch(rows, whole(0, 8), augment)
        for field in ("static", "events", "label", "index"):
            assert torch.equal(getattr(here, field), getattr(there, field).cpu())


def test_class_weights_balance_the_classes():
    pairs, split = make_pairs()
    rows = pairs.rows("train")
    weights = pairs.class_weights(rows)
    n = {name: sum(key.startswith(name) for key in split.train) for name in COUNTS}
    assert weights.tolist() == pytest.approx([len(rows) / n[INDEX.recordings[row].class_name] for row in rows])
    for label in range(3):
        assert weights[pairs.labels[rows] == label].sum() == pytest.approx(len(rows))
    assert pairs.class_weights(rows[:1]).tolist() == [1.0]


def test_a_class_without_images_to_draw_is_named():
    statics = tuple(item for item in INDEX.statics if item.class_name != "bee")
    index = Index(INDEX.classes, INDEX.recordings, statics)
    with pytest.raises(DataError, match="no static image can be drawn for class 'bee'"):
        PairSet(index, make_split(index, Protocol()), telling_frames(index))


def test_a_class_that_only_tests_needs_no_images():
    recordings = (*INDEX.recordings, Item("dog/1", "dog"))
    index = Index((*INDEX.classes, "dog"), recordings, INDEX.statics)
    split = make_split(Index(INDEX.classes, INDEX.recordings, INDEX.statics), Protocol())
    tested = Split(split.protocol, split.train, split.val, (*split.test, "dog/1"), split.pool, leaky=False)
    pairs = PairSet(index, tested, telling_frames(index))
    assert pairs.events(pairs.rows("test"))[1].tolist()[-1] == 3


def test_a_rule_that_mixes_classes_up_draws_what_it_says():
    split = make_split(INDEX, Protocol("clean"))
    draws = {"ant": ("cup/001", "cup/002"), "bee": ("bee/003",), "cup": ("ant/000",)}
    pool = tuple(sorted(key for keys in draws.values() for key in keys))
    pairs = PairSet(INDEX, replace(split, pool=pool, draws=draws, leaky=True), telling_frames(INDEX))
    rows, seen = pairs.rows("train"), defaultdict(set)
    for seed in range(10):
        batch = pairs.batch(rows, whole(seed, len(rows)))
        for label, image in zip(batch.label.tolist(), shown(batch.static), strict=True):
            seen[INDEX.classes[label]].add(image.key)
    assert seen == {name: set(keys) for name, keys in draws.items()}


def test_without_static_images_a_batch_has_none():
    index = Index(INDEX.classes, INDEX.recordings, ())
    pairs = PairSet(index, make_split(index, Protocol("clean")), telling_frames(index))
    batch = pairs.batch(pairs.rows("train")[:5], whole(0, 5))
    assert batch.static.shape == (5, 0, SIZE, SIZE)
    assert torch.equal(batch.events, pairs.events(pairs.rows("train")[:5])[0])


def test_one_stored_frame_stands_for_all_steps():
    frames = telling_frames(INDEX)
    frames.events = frames.events[:, :1]
    pairs = PairSet(INDEX, make_split(INDEX, Protocol("clean")), frames, steps=7)
    events, _ = pairs.events(torch.tensor([4, 2]))
    assert events.shape == (2, 7, 2, SIZE, SIZE)
    assert events[:, :, 0, 0, 0].tolist() == [[4.0] * 7, [2.0] * 7]


def test_frames_and_splits_of_another_data_set_are_refused():
    split = make_split(INDEX, Protocol())
    frames = telling_frames(INDEX)
    with pytest.raises(DataError, match="the cache holds 62 recordings, the data set 63"):
        PairSet(INDEX, split, SimpleNamespace(events=frames.events[1:], images=frames.images))
    with pytest.raises(DataError, match="the cache holds 105 static images, the data set 106"):
        PairSet(INDEX, split, SimpleNamespace(events=frames.events, images=frames.images[1:]))
    smaller = Index(INDEX.classes, INDEX.recordings[1:], INDEX.statics)
    with pytest.raises(DataError, match="the split holds 'ant/000', the data set does not"):
        PairSet(smaller, split, telling_frames(smaller))
