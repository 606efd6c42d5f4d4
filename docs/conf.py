"""Sphinx configuration of the documentation; `make docs` builds it without a network."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import capabilities  # noqa: E402

import linmem  # noqa: E402

project = "linmem"
author = "The linmem maintainers"
project_copyright = "The linmem maintainers"
version = release = linmem.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "examples", "capabilities_table.md", "gallery/**/*.ipynb", "**/README.md"]
suppress_warnings = [
    "config.cache",  # functions in sphinx_gallery_conf cannot be cached
    "toc.not_included",  # a new page without a place in a toctree does not stop the build
]

smartquotes = False  # quotes in prose are often those of code
default_role = "code"

# API pages: one page per public name, from numpydoc docstrings.
autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    # Members of these base classes are documented by torch, scikit-learn and Python.
    "inherited-members": "Module,BaseEstimator,TransformerMixin,ClassifierMixin,RegressorMixin,OutlierMixin,"
    "ClassNamePrefixFeaturesOutMixin,_SetOutputMixin,MultiOutputMixin,tuple,Protocol",
}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The gallery runs every script of docs/examples in one process.
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"fit_shards",  # the workers of plot_data_parallel.py
    "reset_modules": ("gallery_style.reset",),
    "image_scrapers": ("matplotlib", "gallery_style.written_files"),
    "within_subsection_order": "gallery_style.ReadingOrder",
    "matplotlib_animations": (False, "html5"),
    "min_reported_time": 1000,
    "show_memory": False,
    "write_computation_times": False,  # the page of times would load scripts from the network
    "show_signature": False,
    "download_all_examples": False,
    "abort_on_example_error": True,
    "remove_config_comments": True,
}

html_theme = "furo"
html_title = f"linmem {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#005B8F"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#8CCBF0"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def skip_metadata_routing(app, what, name, member, skip, options):
    """Leave out the methods that scikit-learn generates for metadata routing."""
    return True if name == "get_metadata_routing" or (name[:4] == "set_" and name[-8:] == "_request") else None


def setup(app):
    """Write the generated table of capabilities before the pages are read."""
    app.connect("autodoc-skip-member", skip_metadata_routing)
    app.connect("builder-inited", lambda _: capabilities.write(DOCS / "capabilities_table.md"))
