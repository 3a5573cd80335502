"""The site: `make docs` builds it from these pages. Nothing in it is fetched from elsewhere."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "hardneg"
author = "The hardneg developers"
copyright = "The hardneg developers"  # noqa: A001 Sphinx's name
version = release = version_of("hardneg")

extensions = ["myst_parser", "sphinx.ext.autodoc", "extension"]
exclude_patterns = ["extension"]
myst_heading_anchors = 3
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"hardneg {version}"
html_copy_source = False
html_show_sphinx = False
