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
        "Train, compare and inspect spiking neural networks for event cameras: TMKT, which also learns from static"
        " images, HSD, which learns from an ANN, and the methods that their papers compare with.",
        (
            ("tmkt list", "names of data sets, networks, methods, figures, tables and recipes"),
            ("tmkt train digits/tmkt", "train TMKT on embedded data: minutes on a CPU, no download"),
            ("tmkt table runs", "the accuracies of all finished runs, in one table"),
            ("tmkt data check nmnist --root data", "check the files of N-MNIST; say how to get them"),
            ("tmkt train --help", "options and examples of a command"),
        ),
    ),
    "list": Text(
        "show the names of data sets, networks, methods, figures, tables and recipes",
        "List every name that a recipe or a command accepts, with the paper it comes from. In a pipe, print one name"
        " per line, for grep.",
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
            ("tmkt data check nmnist --root data", "which files are there, what is missing, where to get it"),
            ("tmkt data audit digits", "whether the splits keep test images out of training"),
            ("tmkt data prepare --help", "options and examples of one of these commands"),
        ),
    ),
    "data check": Text(
        "check the files; say what is missing and where to get it",
        "Count the files of a data set, and say what is missing and where to get it. For recordings of your own, also"
        " show what was read from each format. The exit status is 1 if something is missing or cannot be read.",
        (
            ("tmkt data check digits", "the embedded data set"),
            ("tmkt data check nmnist --root data", "the files in data/"),
            ("tmkt data check nmnist --root twin --static-root mnist_png", "recordings here, images there"),
            ("tmkt data check folder --root mine --files all", "read every recording of your own"),
            ("tmkt data check folder --root mine --figure sheet.png", "draw some recordings beside their images"),
        ),
    ),
    "data audit": Text(
        "check every split for test recordings or images that training can see",
        "Make the split of every protocol of a data set, and count the test recordings and their images that training"
        " can see, by name and by content. The exit status is 1 if a protocol leaks without declaring it.",
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
        "make the frames of all recordings before the first run",
        "Turn all recordings into frames and store them in the cache, as the first run with the same settings would."
        " After an interruption, the same command resumes.",
        (
            ("tmkt data prepare digits", "with the default settings"),
            ("tmkt data prepare nmnist --root data --steps 8 --size 34", "8 frames of 34x34 for each recording"),
            ("tmkt data prepare cepdvs --root data --size 180 240 --workers 8", "height 180, width 240; 8 processes"),
        ),
    ),
    "data simulate": Text(
        "simulate event recordings from a folder of images",
        "Simulate an event camera that films images, and write the recordings in the file format and layout of the real"
        " data set. All results from them are labelled as simulated. After an interruption, the same command resumes.",
        (
            (
                "tmkt data simulate nmnist --static mnist_png --out twin",
                "N-MNIST from images such as mnist_png/5/123.png",
            ),
            (
                "tmkt data simulate ncaltech101 --static 101_ObjectCategories --out twin --limit-per-class 20",
                "20 images of each class",
            ),
            ("tmkt data check nmnist --root twin --static-root mnist_png", "then check the result"),
        ),
    ),
    "train": Text(
        "train recipes and write their records; finished runs are skipped",
        "Train one or more recipes, each with several seeds. A recipe is a YAML file or a name from `tmkt list`;"
        " key=value changes any of its settings. First it prints what will run, where and on which data. Each run"
        " writes record.json, checkpoints and a log into its own folder below --runs. Ctrl-C saves the state of a run;"
        " the same command with --resume resumes it.",
        (
            ("tmkt train digits/tmkt", "the embedded data set, with the three seeds of the recipe"),
            ("tmkt train digits/tmkt digits/baseline --seeds 1 2", "two recipes with two seeds: four runs"),
            ("tmkt train nmnist/tmkt --tier small data.root=data --dry-run", "show what would run and how long"),
            ("tmkt train digits/tmkt train.epochs=5 optim.lr=0.01", "other settings make another run folder"),
            ("tmkt train my_recipe.yaml --jobs 4 --resume", "four runs at a time; resume those that stopped"),
        ),
    ),
    "eval": Text(
        "evaluate a finished run or a checkpoint again, or with other numbers of time steps",
        "Evaluate the checkpoints of a finished run on its test recordings and compare with its record. Or evaluate a"
        " checkpoint of `tmkt list` on your recordings and compare with its index. The exit status is 1 if an accuracy"
        " differs. With --steps, evaluate the network with other numbers of time steps and write steps.csv into the"
        " run folder. With --norms, evaluate it with statistics of its batch norms that are estimated again; the"
        " weights do not change.",
        (
            ("tmkt eval runs/digits/tmkt/*/seed42", "does the checkpoint still give the recorded accuracy?"),
            ("tmkt eval runs/digits/tmkt/*/seed42 --steps 1..6", "accuracy with 1, 2, .. 6 time steps"),
            ("tmkt eval runs/nmnist/tmkt/*/seed42 data.root=/data", "with the data in another folder"),
            ("tmkt eval tmkt_scnn.digits_tmkt", "a checkpoint that comes with the package"),
            ("tmkt eval runs/nmnist/tmkt/*/seed42 --norms own", "with a set of statistics for each step"),
        ),
    ),
    "export": Text(
        "write the network of a finished run as a checkpoint, for timm and others",
        "Write the weights of a finished run as float16 safetensors, evaluate them on its test recordings, and add file"
        " and accuracy to the index of a folder of checkpoints.",
        (
            ("tmkt export runs/digits/tmkt/*/seed42 checkpoints", "one run, to checkpoints/"),
            ("tmkt export runs/nmnist/tmkt/*/seed42 checkpoints data.root=/data", "with the data in another folder"),
        ),
    ),
    "table": Text(
        "print a paper's table with your accuracies beside it, or a table of your runs",
        "Print a table. With the name of a paper's table (1 to 4, kt, hsd1, .., see `tmkt list`), train the missing"
        " runs and show your accuracies beside the paper's. With a table and folders, use the records in the folders"
        " and train nothing. With folders only, show all records in them, one row for each recipe.",
        (
            ("tmkt table runs", "all your runs: mean and standard deviation over the seeds"),
            ("tmkt table 1 runs", "Table 1 of the TMKT paper with the records in runs/"),
            ("tmkt table 2 runs --dataset nmnist --format md", "N-MNIST in place of the paper's data, as Markdown"),
            ("tmkt table 1 runs mine.csv --format tex", "with results of your own (--template shows how), as LaTeX"),
            ("tmkt table 2 --tier small --seeds 1 2 data.root=data --dry-run", "what would be trained for Table 2"),
        ),
    ),
    "report": Text(
        "write one HTML page of your runs: tables, curves, splits, cost",
        "Write one self-contained HTML page that shows the records in some folders: accuracies, curves, the audit of"
        " every split, cost, and settings.",
        (
            ("tmkt report runs", "all runs, to report.html"),
            ("tmkt report runs --out page.html --pictures figures", "with the pictures of `tmkt figure`"),
            ("tmkt report runs data.name=nmnist --select best_val", "some of the runs; the best validation epoch"),
        ),
    ),
    "figure": Text(
        "draw a figure of finished runs, and write its numbers as CSV",
        "Draw a figure of finished runs as PNG, and write its numbers as CSV. `tmkt list` shows the names of the"
        " figures; key=value sets an argument of the figure.",
        (
            ("tmkt figure confusion runs/digits/tmkt/*/seed42", "confusion matrix of one run"),
            ("tmkt figure epochs runs", "test accuracy by epoch of all runs in runs/"),
            ("tmkt figure landscape runs/digits/tmkt/*/seed42 grid=11", "loss around the weights, 11x11 points"),
        ),
    ),
    "scripts": Text(
        "write the shell scripts that reproduce the papers' tables to a folder",
        "Write the shell scripts that reproduce the papers' tables, one for each data set or table, to a folder.",
        (
            ("tmkt scripts scripts", "all scripts, to scripts/"),
            ("tmkt scripts scripts --overwrite", "replace scripts that you changed"),
        ),
    ),
    "doctor": Text(
        "show versions, devices, and missing or conflicting packages",
        "Show the versions of Python, PyTorch, BrainCog and the other packages that affect results, the devices,"
        " missing packages with the command that installs them, and what importing BrainCog changes in timm. The exit"
        " status is 1 if something is missing.",
        (
            ("tmkt doctor", "is this environment complete?"),
            ("tmkt doctor > environment.txt", "for a bug report"),
        ),
    ),
}
