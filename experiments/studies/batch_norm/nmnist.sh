# Sourced by the studies of VGGSNN and ResNet-18 on real N-MNIST, which share recordings and length. RUNS must be set.

# nmnist RECIPES SETTINGS..
nmnist() {
  local recipes
  read -ra recipes <<< "$1"
  shift
  tmkt train "${recipes[@]/#/nmnist/}" --tier vggsnn --threads 1 --jobs "${JOBS:-1}" --resume --runs "$RUNS" \
    data.root="${DATA:-./data}" data.train_per_class=20 data.val_portion=0.5 train.epochs=60 train.eval_every=3 \
    train.precision=bf16-mixed "$@"
}
