#!/usr/bin/env bash
# Accuracy, firing rate, synaptic operations and energy of a finished run of cifar10/qcfs at T 1, 2, 4, .., 128: one pass over the
# test images, in full precision whatever it was trained with. Writes steps.csv into the run folder, and the picture.
#   bash experiments/studies/qcfs_cifar10/curve.sh RUN [data.root=..]     STEPS=1,2,4,8,16,32,64,128   OUT=figures/qcfs_cifar10
run="$(realpath "$1")"
shift
source "$(dirname "$0")/../../env.sh"
install_project
tmkt eval "$run" --steps "${STEPS:-1,2,4,8,16,32,64,128}" --precision 32-true "$@"
tmkt figure timesteps "$run" --out "${OUT:-figures/qcfs_cifar10}"
