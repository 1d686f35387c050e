"""The settings of the documentation: `make docs` builds it to build/docs/html, without a network.

Pages are Markdown (MyST), the reference comes from the docstrings (numpydoc). Warnings are errors, and a reference to a
name of fastnn that does not exist is a warning.
"""

import re
from collections import Counter

from docutils import nodes
from sphinx.domains.python import PyXRefRole
from sphinx.ext.autosummary import import_by_name

import fastnn

project = "fastnn"
author = "The fastnn developers"
copyright = f"2026, {author}"
version = release = fastnn.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # of autosummary_context, which has a function
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!fastnn\b).*")]  # names of other projects, and words in backticks

myst_enable_extensions = ["attrs_block", "colon_fence"]
myst_heading_anchors = 3

autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the docstrings say types, shapes and units
autodoc_inherit_docstrings = False  # a layer's page shows what the layer says, the base class has the rest
autosummary_generate = True
autosummary_context = {"base_of": lambda name: public_base(import_by_name(name)[1])}
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"fastnn {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_favicon = "_static/logo.svg"
pygments_dark_style = "github-dark"
html_theme_options = {
    "top_of_page_buttons": [],
    "light_logo": "logo.svg",
    "dark_logo": "logo.svg",
    "light_css_variables": {"color-brand-primary": "#a8480b", "color-brand-content": "#a8480b"},
    "dark_css_variables": {"color-brand-primary": "#f5a15f", "color-brand-content": "#f5a15f"},
}
copybutton_exclude = ".linenos, .gp, .go"

NAME = re.compile(r"(fastnn\.)?[A-Za-z_][\w.]*(\(\))?")


def backticks(name, rawtext, text, lineno, inliner, options=None, content=()):
    """What docstrings have in single backticks: a link where it is the name of something here, else code."""
    if NAME.fullmatch(text):
        return PyXRefRole()("py:obj", rawtext, text, lineno, inliner, options or {}, content)
    return [nodes.literal(rawtext, text)], []


PLAIN = (  # what docstrings write for readers of plain text, and how reStructuredText wants it
    (re.compile(r"\|"), r"\|"),  # |x| is no substitution
    (re.compile(r" \*= "), r" \*= "),  # p *= 2 does not begin an emphasis
    (re.compile(r"(?<=\w)_(?!\w)"), r"\_"),  # coefs_ is no reference
)


def escape(app, what, name, obj, options, lines):
    for index, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("`")  # every second one is code
            for pattern, replacement in PLAIN:
                parts[::2] = [pattern.sub(replacement, part) for part in parts[::2]]
            lines[index] = re.sub(r"`(\w+)`s\b", r"`\1`\\ s", "`".join(parts))


def without_requests(app, what, name, obj, skip, options):
    """Leave out what scikit-learn adds to its estimators for the routing of metadata."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def public_base(obj):
    """The nearest base class that readers know, or None."""
    bases = (base for base in obj.__mro__[1:] if base.__name__[0] != "_" and base.__name__ not in INNER)
    return None if (base := next(bases)) is object else base


def public_bases(app, name, obj, options, bases):
    bases[:] = [public_base(obj)]


def dialect_pages(app, docname, source):
    """The pages beside the first one of the dialects, which people also read where no toctree is."""
    if docname == "dialects/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


def link_names(app, doctree, docname):
    """Make links of code in the pages that names something of the reference, such as `fastnn.save` or `Adam`."""
    if docname.startswith("dialects/"):
        return  # whose names are those of other modules
    domain = app.env.get_domain("py")
    for node in list(doctree.findall(nodes.literal)):
        name = node.astext().removesuffix("()")
        if name not in LINKED or isinstance(node.parent, (nodes.reference, nodes.title)):
            continue
        target = domain.objects[LINKED[name]]
        if target.docname != docname:
            uri = app.builder.get_relative_uri(docname, target.docname)
            link = nodes.reference("", "", internal=True, refuri=f"{uri}#{target.node_id}")
            node.replace_self(link)
            link += node


def known_names(app, env):
    """How pages name what the reference has: `fastnn.nn.Linear`, `nn.Linear`, and `Linear` where that is only one."""
    entries = env.get_domain("py").objects.items()
    names = [name for name, entry in entries if not entry.aliased and entry.objtype in ("class", "function", "method")]
    LINKED.update((name, name) for name, entry in entries if entry.objtype == "module" and name != "fastnn")
    shorts = Counter(name.rpartition(".")[2] for name in names)
    for name in names:
        short = name.rpartition(".")[2]
        LINKED[name] = LINKED[name.removeprefix("fastnn.")] = name
        if short[0].isupper() and shorts[short] == 1:
            LINKED[short] = name


def setup(app):
    app.add_role("backticks", backticks)
    app.connect("autodoc-process-docstring", escape, priority=400)  # before numpydoc
    app.connect("autodoc-skip-member", without_requests)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("source-read", dialect_pages)
    app.connect("env-check-consistency", known_names)
    app.connect("doctree-resolved", link_names)


LINKED = {}
INNER = {"BaseMLP", "Described", "Monitor"}  # classes that only share code
default_role = "backticks"
