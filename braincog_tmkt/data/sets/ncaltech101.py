"""N-Caltech101 (recordings) with Caltech-101 (images): 101 classes, BACKGROUND_Google among them and Faces not."""

from collections.abc import Iterable
from pathlib import Path

from ...errors import DataError
from ..images import image_suffixes
from ..types import Index, Item
from .base import DATASETS, Card, DataSet
from .listing import class_files, class_folders, distinct, fetch, first_folder, need_folder

_OFFICIAL = """
BACKGROUND_Google=467 Faces_easy=435 Leopards=200 Motorbikes=798 accordion=55 airplanes=800 anchor=42 ant=42
barrel=47 bass=54 beaver=46 binocular=33 bonsai=128 brain=98 brontosaurus=43 buddha=85 butterfly=91 camera=50
cannon=43 car_side=123 ceiling_fan=47 cellphone=59 chair=62 chandelier=107 cougar_body=47 cougar_face=69 crab=73
crayfish=70 crocodile=50 crocodile_head=51 cup=57 dalmatian=67 dollar_bill=52 dolphin=65 dragonfly=68
electric_guitar=75 elephant=64 emu=53 euphonium=64 ewer=85 ferry=67 flamingo=67 flamingo_head=45 garfield=34
gerenuk=34 gramophone=51 grand_piano=99 hawksbill=100 headphone=42 hedgehog=54 helicopter=88 ibis=80 inline_skate=31
joshua_tree=64 kangaroo=86 ketch=114 lamp=61 laptop=81 llama=78 lobster=41 lotus=66 mandolin=43 mayfly=40 menorah=87
metronome=32 minaret=76 nautilus=55 octopus=35 okapi=39 pagoda=47 panda=38 pigeon=45 pizza=53 platypus=34 pyramid=57
revolver=82 rhino=59 rooster=49 saxophone=40 schooner=63 scissors=39 scorpion=84 sea_horse=57 snoopy=35
soccer_ball=64 stapler=45 starfish=86 stegosaurus=59 stop_sign=64 strawberry=35 sunflower=85 tick=49 trilobite=86
umbrella=75 watch=239 water_lilly=37 wheelchair=59 wild_cat=34 windsor_chair=56 wrench=39 yin_yang=60
"""
COUNTS = {name: int(count) for name, count in (entry.split("=") for entry in _OFFICIAL.split())}
"""Recordings of each class in the full set, 8,709 together."""

CLASSES = tuple(sorted(COUNTS))
"""The official class names, sorted as tonic and the baseline label them: BACKGROUND_Google, Faces_easy, ..."""

EVENT_LAYOUTS = ("NCALTECH101/Caltech101", "N-Caltech101-archive/Caltech101", "ncaltech101/Caltech101", "Caltech101")
STATIC_LAYOUTS = ("caltech101/101_ObjectCategories", "caltech-101/101_ObjectCategories", "101_ObjectCategories")


@DATASETS.register(
    "ncaltech101",
    title="N-Caltech101 with Caltech-101",
    paper="Orchard et al., Frontiers in Neuroscience",
    year=2015,
    arxiv="1507.07629",
)
class NCaltech101(DataSet):
    """N-Caltech101 recordings paired with the Caltech-101 images they show.

    The recording `accordion/image_0001.bin` and the image `accordion/image_0001.jpg` are twins, key
    `accordion/image_0001`. The labels follow the class folders of the recordings, which may be a part of the 101; those
    of simulated recordings may have any names, since any images can be filmed.
    """

    name = "ncaltech101"
    sensor = (240, 180)
    own_extent = True
    card = Card(
        source="recordings: https://www.garrickorchard.com/datasets/n-caltech101 (Mendeley Data, doi"
        " 10.17632/cy6cvx3ryv.1); images: https://data.caltech.edu/records/mzrjq-6wc02 (doi 10.22002/D1.20086)",
        licence="recordings: as stated on their page; images: CC BY 4.0",
        tree="""\
ROOT/
  NCALTECH101/Caltech101/                  recordings (or in N-Caltech101-archive/, ncaltech101/, ROOT)
    BACKGROUND_Google/image_0001.bin ...   101 class folders: Faces_easy, but no Faces
    accordion/image_0001.bin ...
  caltech101/101_ObjectCategories/         images (or in caltech-101/, ROOT; or the classes straight in static_root)
    BACKGROUND_Google/image_0001.jpg ...   the same classes; a Faces folder is passed over
    accordion/image_0001.jpg ...""",
        counts={"classes": 101, "recordings": 8709, "images": 8709},
    )

    def places(self) -> list[Path]:
        """The folder of the recordings."""
        return [need_folder(self.root, EVENT_LAYOUTS, "the recordings of N-Caltech101", self.name)]

    def index(self) -> Index:
        """List recordings and images of the classes that have recordings; an image without recording is kept."""
        folders = class_folders(self.places()[0], CLASSES if self.kind() == "real" else None)
        images = self._image_folder(folders)
        for name in folders:
            if not (images / name).is_dir():
                raise DataError(
                    f"{images / name} is missing though {folders[name]} has recordings: unpack the whole Caltech-101"
                    " archive, BACKGROUND_Google included, or remove the class's recordings"
                )
        return Index(
            classes=tuple(folders),
            recordings=_items({name: class_files(folder, ".bin") for name, folder in folders.items()}),
            statics=_items({name: class_files(images / name, *image_suffixes(), what="image") for name in folders}),
        )

    def _image_folder(self, classes: Iterable[str]) -> Path:
        """The folder of the images of these classes, in one of the layouts or straight in `static_root`."""
        straight = first_folder(self.static_root, STATIC_LAYOUTS) is None
        if straight and any((self.static_root / name).is_dir() for name in classes):
            return self.static_root
        return need_folder(self.static_root, STATIC_LAYOUTS, "the images of Caltech-101", self.name)

    def download(self) -> None:
        """Fetch the recordings with tonic and the images with torchvision (about 5 GB together with the archives).

        torchvision unpacks all of Caltech-101 to `caltech101/101_ObjectCategories`: 102 folders, both Faces (not used
        here) and BACKGROUND_Google (which torchvision's own class hides, but N-Caltech101 needs) among them.
        """
        import tonic
        import torchvision

        fetch(
            self,
            lambda: tonic.datasets.NCALTECH101(str(self.root)),
            lambda: torchvision.datasets.Caltech101(self.static_root, download=True),
        )


def _items(files: dict[str, list[Path]]) -> tuple[Item, ...]:
    """Make the items of all classes, sorted by key."""
    return distinct(Item(f"{name}/{path.stem}", name, path) for name, paths in files.items() for path in paths)
