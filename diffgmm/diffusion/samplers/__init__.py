"""Samplers of reverse diffusion, one a file, one signature."""

from .drawing import SAMPLERS as SAMPLERS
from .drawing import Draws as Draws
from .drawing import check_sampler as check_sampler
from .drawing import draw as draw
