# Sourced by the studies on simulated N-Caltech101, `leakage` aside. IMAGES: folder with 101_ObjectCategories/. TWIN: where
# links to the images and the simulated recordings go. RUNS must be set.
IMAGES="${IMAGES:-./data}" TWIN="${TWIN:-./data/length_twin}"
CLASSES="BACKGROUND_Google Faces_easy Leopards Motorbikes accordion airplanes bonsai car_side dollar_bill grand_piano ketch \
  laptop menorah minaret pizza soccer_ball stop_sign sunflower watch yin_yang"

# link_images FOLDER COUNT: the first images of each class, as far as there are that many, as a tree of their own
link_images() {
  local class number image
  for class in $CLASSES; do
    mkdir -p "$1/101_ObjectCategories/$class"
    for number in $(seq -f %04g "$2"); do
      image="$IMAGES/101_ObjectCategories/$class/image_$number.jpg"
      [ ! -e "$image" ] || ln -sfn "$(realpath "$image")" "$1/101_ObjectCategories/$class/"
    done
  done
}

# make_twin: recordings of the first 40 images of each class
make_twin() {
  link_images "$TWIN" 40
  if [ "$(find "$TWIN/101_ObjectCategories" -name '*.jpg' | wc -l)" != 800 ]; then
    echo "error: not all 20 classes have image_0001.jpg to image_0040.jpg under $IMAGES/101_ObjectCategories: give IMAGES=" >&2
    exit 1
  fi
  tmkt data simulate ncaltech101 --static "$TWIN" --out "$TWIN"
}

# ncaltech101 EPOCHS EVERY RECIPES SETTINGS..: evaluated, and its weights kept, every so many epochs
ncaltech101() {
  local epochs="$1" every="$2" recipes
  read -ra recipes <<< "$3"
  shift 3
  tmkt train "${recipes[@]/#/ncaltech101/}" --tier small --threads 1 --jobs "${JOBS:-1}" --resume --runs "$RUNS" \
    data.root="$TWIN" train.epochs="$epochs" train.eval_every="$every" train.keep_every="$every" \
    train.precision=bf16-mixed "$@"
}
