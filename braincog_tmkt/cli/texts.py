"""What the help of each command says: what it does, and examples that run (tests try all of them)."""

from __future__ import annotations

from typing import NamedTuple

Examples = tuple[tuple[str, str], ...]
"""A command line, and what it does."""


class Text(NamedTuple):
    """The words of a command.

    Args:
        summary: one line for the list of commands.
        about: what it does and prints, where its results go, its exit status if that is not plain.
        examples: two to five.
    """

    summary: str
    about: str
    examples: Examples


SETTINGS = "key=value sets any key of a recipe, such as train.epochs=3 or data.root=/data"

TEXTS: dict[str, Text] = {
    "": Text(
        "",
        "Train, compare and inspect spiking neural networks for event cameras: TMKT and HSD, which learn from static"
        " images and from ANNs, and the methods that their papers compare with.",
        (
            ("tmkt list", "names of data sets, networks, methods, figures, tables and recipes"),
            ("tmkt train digits/tmkt", "train TMKT on embedded data: minutes on a CPU, no download"),
            ("tmkt table runs", "the accuracies of all finished runs, in one table"),
            ("tmkt data check nmnist --root data", "what is there of N-MNIST, or how to get it"),
            ("tmkt train --help", "options and examples of a command"),
        ),
    ),
    "list": Text(
        "show the names of data sets, networks, methods, figures, tables and recipes",
        "Show every name that a recipe or a command can take, a line each, with where it was published. In a pipe every"
        " name has a line of its own, so that grep finds it.",
        (
            ("tmkt list", "everything"),
            ("tmkt list | grep nmnist/", "the recipes for N-MNIST"),
        ),
    ),
    "data": Text(
        "check, download, prepare, simulate or audit a data set",
        "Work with the files of a data set. Nothing is downloaded unless you ask for it. The data set digits is"
        " embedded and needs no files.",
        (
            ("tmkt data check nmnist --root data", "what is there, what is missing, where to get it"),
            ("tmkt data audit digits", "whether the splits keep test images out of training"),
            ("tmkt data prepare --help", "options and examples of one of these commands"),
        ),
    ),
    "data check": Text(
        "show what is there; if something is missing, what should be and where to get it",
        "Look at the files of a data set: counts, what is missing and where to get it, and, for recordings of your own,"
        " what was read from each format. The exit status is 1 if something is missing or cannot be read.",
        (
            ("tmkt data check digits", "the embedded data set"),
            ("tmkt data check nmnist --root data", "the files in data/"),
            ("tmkt data check nmnist --root twin --static-root mnist_png", "recordings here, images there"),
            ("tmkt data check folder --root mine --files all", "read every recording of your own"),
            ("tmkt data check folder --root mine --figure sheet.png", "draw some recordings beside their images"),
        ),
    ),
    "data audit": Text(
        "show whether a split lets training see what it is tested on",
        "Make the split of every protocol of a data set and count the images and recordings of the test set that"
        " training can see, by name and by content. The exit status is 1 if a protocol leaks that does not declare it.",
        (
            ("tmkt data audit digits", "all protocols of the embedded data set"),
            ("tmkt data audit nmnist --root data", "those of N-MNIST in data/"),
            ("tmkt data audit nmnist --root data data.train_portion=0.8", "with another share of training recordings"),
        ),
    ),
    "data download": Text(
        "fetch the official files",
        "Fetch the official files of a data set, where their licence and host allow it, then check them.",
        (
            ("tmkt data download nmnist --root data", "N-MNIST and MNIST to data/"),
            ("tmkt data download cifar10 --root data", "CIFAR-10 to data/"),
        ),
    ),
    "data prepare": Text(
        "make the frames of all recordings now instead of at the first run",
        "Turn all recordings into frames and keep them in the cache, as the first run with the same settings would."
        " After an interruption the same command goes on.",
        (
            ("tmkt data prepare digits", "with the default settings"),
            ("tmkt data prepare nmnist --root data --steps 8 --size 34", "8 frames of 34x34 for each recording"),
            ("tmkt data prepare cepdvs --root data --size 180 240 --workers 8", "height 180, width 240; 8 processes"),
        ),
    ),
    "data simulate": Text(
        "simulate event recordings from a folder of images",
        "Film images with a simulated event camera and write the recordings in the layout of the real data set. All"
        " results from them are labelled as simulated. After an interruption the same command goes on.",
        (
            (
                "tmkt data simulate nmnist --static mnist_png --out twin",
                "N-MNIST from images such as mnist_png/5/123.png",
            ),
            (
                "tmkt data simulate ncaltech101 --static 101_ObjectCategories --out twin --limit-per-class 20",
                "20 images of each class",
            ),
            ("tmkt data check nmnist --root twin --static-root mnist_png", "then: look at what was made"),
        ),
    ),
    "train": Text(
        "train recipes and write their records; finished runs are skipped",
        "Train one or more recipes, each with several seeds. A recipe is a YAML file or a name from `tmkt list`;"
        " key=value changes any of its settings. First it prints what will run, where and on which data. Each run"
        " writes record.json, checkpoints and a log into its own folder below --runs. Ctrl-C saves the state of a run;"
        " the same command with --resume goes on.",
        (
            ("tmkt train digits/tmkt", "the embedded data set, with the three seeds of the recipe"),
            ("tmkt train digits/tmkt digits/baseline --seeds 1 2", "two recipes with two seeds: four runs"),
            ("tmkt train nmnist/tmkt --tier small data.root=data --dry-run", "show what would run and how long"),
            ("tmkt train digits/tmkt train.epochs=5 optim.lr=0.01", "other settings make another run folder"),
            ("tmkt train my_recipe.yaml --jobs 4 --resume", "four runs at a time; go on where they stopped"),
        ),
    ),
    "eval": Text(
        "evaluate a finished run or a checkpoint again, or with other numbers of time steps",
        "Evaluate the checkpoints of a finished run on its test recordings and compare with its record; or a checkpoint"
        " of `tmkt list` on the recordings at hand, and compare with its index. The exit status is 1 if an accuracy"
        " differs. With --steps, evaluate the network with other numbers of time steps and write steps.csv into the"
        " run folder.",
        (
            ("tmkt eval runs/digits/tmkt/*/seed42", "does the checkpoint still give the recorded accuracy?"),
            ("tmkt eval runs/digits/tmkt/*/seed42 --steps 1..6", "accuracy with 1, 2, .. 6 time steps"),
            ("tmkt eval runs/nmnist/tmkt/*/seed42 data.root=/data", "where the data have moved"),
        ),
    ),
    "export": Text(
        "write the network of a finished run as a checkpoint, for timm and others",
        "Write the weights of a finished run in half precision as safetensors, evaluate them on its test recordings,"
        " and enter file and accuracy in the index of a folder of checkpoints.",
        (
            ("tmkt export runs/digits/tmkt/*/seed42 checkpoints", "one run, to checkpoints/"),
            ("tmkt export runs/nmnist/tmkt/*/seed42 checkpoints data.root=/data", "where the data have moved"),
        ),
    ),
    "table": Text(
        "print a table of a paper with your numbers, or a table of your runs",
        "Print a table. Given the number of a paper's table (1 to 4, kt, hsd1, .., see `tmkt list`), train what is"
        " missing and show your accuracies beside the paper's; with folders behind it, take their records and train"
        " nothing. Given folders alone, show all records in them, one row for each recipe.",
        (
            ("tmkt table runs", "all your runs: mean and deviation over the seeds"),
            ("tmkt table 1 runs", "Table 1 of the TMKT paper with the records in runs/"),
            ("tmkt table 2 runs --dataset nmnist --format md", "N-MNIST in place of the paper's data, as Markdown"),
            ("tmkt table runs --reference baseline --format tex", "with differences to the baseline, as LaTeX"),
            ("tmkt table 2 --tier small --seeds 1 2 data.root=data --dry-run", "what would be trained for Table 2"),
        ),
    ),
    "report": Text(
        "write one HTML page of your runs: tables, curves, splits, cost",
        "Write a single HTML page, without outside files, that shows the records in some folders: accuracies, curves,"
        " the audit of every split, cost, and settings.",
        (
            ("tmkt report runs", "all runs, to report.html"),
            ("tmkt report runs --out page.html --pictures figures", "with the pictures of `tmkt figure`"),
            ("tmkt report runs data.name=nmnist --select best_val", "some of the runs; the best validation epoch"),
        ),
    ),
    "figure": Text(
        "draw a picture of finished runs, and write the numbers behind it",
        "Draw a picture of finished runs: a PNG, and the numbers in it as CSV. `tmkt list` shows the names; key=value"
        " sets an argument of the figure.",
        (
            ("tmkt figure confusion runs/digits/tmkt/*/seed42", "confusion matrix of one run"),
            ("tmkt figure epochs runs", "test accuracy by epoch of all runs in runs/"),
            ("tmkt figure landscape runs/digits/tmkt/*/seed42 grid=11", "loss around the weights, 11x11 points"),
        ),
    ),
    "scripts": Text(
        "write the shell scripts that reproduce data sets and tables to a folder",
        "Write the shell scripts that reproduce the papers' data sets and tables to a folder.",
        (
            ("tmkt scripts scripts", "all scripts, to scripts/"),
            ("tmkt scripts scripts --overwrite", "replace scripts that you changed"),
        ),
    ),
    "doctor": Text(
        "show versions and devices, and what is missing or in the way here",
        "Show the versions of all that makes a number, the devices, missing packages with the command that installs"
        " them, and what importing BrainCog changes in timm. The exit status is 1 if something is missing.",
        (
            ("tmkt doctor", "is this environment complete?"),
            ("tmkt doctor > environment.txt", "for a bug report"),
        ),
    ),
}
