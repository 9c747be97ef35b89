"""What the server of `children` has imported before it forks, without BrainCog's warnings."""

import braincog_tmkt.data.cache
import braincog_tmkt.launch.plan  # noqa: F401
from braincog_tmkt.bridge import brain_cog_module

brain_cog_module("model_zoo.resnet")
