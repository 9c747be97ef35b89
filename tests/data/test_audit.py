import json
from dataclasses import replace

import pytest

from braincog_tmkt.data.audit import audit, require_clean, require_two_classes
from braincog_tmkt.data.splits import Protocol, Split
from braincog_tmkt.data.types import Index, Item
from braincog_tmkt.errors import DataError


def items(*keys: str) -> tuple[Item, ...]:
    return tuple(Item(key, key.split("/")[0]) for key in keys)


def hand_made(train, val, test, pool, leaky=False) -> Split:
    return Split(Protocol("clean"), tuple(train), tuple(val), tuple(test), tuple(pool), leaky)


INDEX = Index(
    ("ant", "cup"),
    items("ant/1", "ant/2", "ant/3", "cup/1", "cup/2", "cup/3"),
    items("ant/1", "ant/2", "ant/3", "cup/1", "cup/2", "cup/3", "cup/9"),
)
GOOD = hand_made(["ant/1", "cup/1"], ["ant/2", "cup/2"], ["ant/3", "cup/3"], ["ant/1", "cup/1", "cup/9"])


def test_a_sound_split():
    verdict = audit(INDEX, GOOD)
    assert (verdict.train, verdict.val, verdict.test, verdict.pool) == (2, 2, 2, 3)
    assert not verdict.leaks
    require_clean(verdict, GOOD)
    assert verdict.sentence() == (
        f"Split 'clean' {GOOD.hash[:12]} has 2 training, 2 validation and 2 test recordings and draws from 3 static "
        "images; none of them shows what a validation or test recording shows."
    )


@pytest.mark.parametrize(
    ("pool", "field", "count"),
    [
        (["ant/1", "cup/1", "cup/3"], "test_with_twin_in_pool", 1),
        (["ant/3", "cup/1", "cup/3"], "pool_twins_of_test", 2),
        (["ant/1", "cup/1", "cup/2"], "val_with_twin_in_pool", 1),
        (["ant/1", "cup/1", "cup/2"], "pool_twins_of_val", 1),
    ],
)
def test_images_of_held_out_recordings_are_leaks(pool, field, count):
    split = hand_made(GOOD.train, GOOD.val, GOOD.test, pool)
    verdict = audit(INDEX, split)
    assert getattr(verdict, field) == count
    assert verdict.leaks
    assert verdict.as_dict()["leaks"] is True
    assert "IT LEAKS" in verdict.sentence()
    with pytest.raises(DataError, match=f"IT LEAKS: {verdict.test_with_twin_in_pool} test"):
        require_clean(verdict, split)
    require_clean(verdict, hand_made(GOOD.train, GOOD.val, GOOD.test, pool, leaky=True))


@pytest.mark.parametrize("leaky", [False, True])
def test_a_recording_in_two_parts_is_an_error_under_every_protocol(leaky):
    split = hand_made([*GOOD.train, "cup/3"], GOOD.val, GOOD.test, GOOD.pool, leaky)
    verdict = audit(INDEX, split)
    assert verdict.in_two_parts == 1
    assert verdict.leaks
    with pytest.raises(DataError, match="1 recordings are in two parts"):
        require_clean(verdict, split)


def test_keys_that_the_index_lacks():
    split = hand_made([*GOOD.train, "cup/7"], GOOD.val, GOOD.test, [*GOOD.pool, "cup/7", "cup/8"])
    verdict = audit(INDEX, split)
    assert verdict.unknown == 3
    with pytest.raises(DataError, match="3 keys of the split are not in the index"):
        require_clean(verdict, split)


def test_classes_that_train_without_an_image_to_draw():
    index = Index(("ant", "bee", "cup"), items("ant/1", "bee/1", "bee/2", "cup/1"), items("ant/1", "bee/2", "cup/1"))
    verdict = audit(index, hand_made(["ant/1", "bee/1"], [], ["bee/2", "cup/1"], ["ant/1"]))
    assert verdict.classes_without_pool == ("bee",)  # its one image is held out; cup only tests
    assert verdict.classes_without_images == ()


def test_classes_and_images_that_do_not_match():
    index = Index(
        ("ant", "bee", "cup"),
        items("ant/1", "ant/2", "bee/1", "bee/2", "cup/1"),
        (*items("ant/1", "cup/1", "dog/1"), Item("ant/2", "cup")),
    )
    split = hand_made(["ant/1", "bee/1"], [], ["bee/2", "cup/1"], ["ant/1", "ant/2", "dog/1"])
    verdict = audit(index, split)
    assert verdict.twins_of_other_class == 1
    assert verdict.pool_without_training == 2  # ant/2 is called a cup, and dog has no recording
    assert verdict.classes_without_pool == ("bee",)
    assert verdict.classes_without_images == ("bee",)
    assert verdict.classes_without_recordings == ("dog",)
    assert not verdict.leaks
    for part in ("2 of the images", "1 recordings have an image of another class", "1 classes have no image to draw"):
        assert part in verdict.sentence()
    plain = verdict.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["classes_without_pool"] == ["bee"]


def test_classes_without_training_validation_or_test_are_named():
    index = Index(("ant", "bee", "cup"), items("ant/1", "ant/2", "ant/3", "bee/1", "bee/2", "cup/1"), ())
    verdict = audit(index, hand_made(["ant/1", "bee/1"], ["ant/2"], ["ant/3", "cup/1"], []))
    assert verdict.classes == 3
    assert verdict.classes_without_training == ("cup",)
    assert verdict.classes_without_validation == ("bee", "cup")
    assert verdict.classes_without_test == ("bee",)
    assert verdict.partial
    for words in ("training recordings of class 'cup'", "validation recordings of classes 'bee', 'cup'"):
        assert f"; NO {words}" in verdict.sentence()
    assert "; NO test recordings of class 'bee';" in verdict.sentence()
    assert not verdict.leaks
    require_two_classes(verdict)
    selected = audit(index, hand_made(["ant/1", "bee/1", "cup/1"], [], ["ant/3", "bee/2"], []))
    assert selected.classes_without_validation == ()  # there is no validation at all
    assert "validation recordings of" not in selected.sentence()


@pytest.mark.parametrize(
    ("train", "test", "what"),
    [
        (["ant/1"], ["ant/2", "cup/2"], "training"),
        (["ant/1", "cup/1"], ["ant/2"], "test"),
    ],
)
def test_one_class_alone_is_no_task(train, test, what):
    with pytest.raises(DataError, match=f"All {what} recordings are of one class"):
        require_two_classes(audit(INDEX, hand_made(train, [], test, [])))


def test_recordings_without_an_image_are_counted_where_names_say_who_shows_what():
    index = Index(("ant", "cup"), INDEX.recordings, items("ant/1", "cup/1", "cup/9"))
    verdict = audit(index, GOOD)
    assert verdict.without_image == 4
    assert "4 recordings have no image of their name" in verdict.sentence()
    assert audit(replace(index, twins_known=False), GOOD).without_image == 0
    assert audit(replace(index, statics=()), GOOD).without_image == 0


def test_what_a_protocol_draws_by_class_is_audited_whatever_its_pool_says():
    swapped = replace(GOOD, draws={"ant": ("ant/1", "ant/3"), "cup": ("cup/1",)})
    verdict = audit(INDEX, swapped)
    assert (verdict.pool, verdict.test_with_twin_in_pool, verdict.leaks) == (4, 1, True)
    with pytest.raises(DataError, match="IT LEAKS: 1 test"):
        require_clean(verdict, swapped)
