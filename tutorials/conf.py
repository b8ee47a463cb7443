"""Settings of Sphinx for the documentation: python tutorials/make_docs.py"""

import diffgmm

project = "diffgmm"
author = "The diffgmm developers"
copyright = "2026, the diffgmm developers"  # Sphinx's own name for it
release = version = diffgmm.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
]

# The text forms beside the notebooks are what the notebooks are made from.
exclude_patterns = ["*.py", "templates", "**/.ipynb_checkpoints"]
# The first one is what the pages of the reference are written as.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}

# Notebooks are run by make_notebooks.py and tested; pages show what they stored.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False  # the template of a class lists them

templates_path = ["templates"]
html_theme = "pydata_sphinx_theme"
html_title = "diffgmm"
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
html_sidebars = {"reference": []}
