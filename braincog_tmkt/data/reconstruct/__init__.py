"""E2VID: grey images reconstructed from events by a recurrent network, written from the formulas of its two papers.

Rebecq et al., CVPR 2019 (arXiv:1904.08298) and TPAMI 2019 (arXiv:1906.07165). A window of events becomes a voxel grid
(`voxel`), a network (`network`) with the weights of a user's own file (`weights`) turns it into an image and remembers
what it has seen, and the image is sharpened and scaled (`post`). `reconstructor` does it window after window.
`settings` reads what a recipe says. Nothing here is imported before frames of the kind `e2vid` are asked for.
"""
