"""
What every page of the site needs beyond the HTML of Sphinx and Furo, so that everybody can use it.

What scrolls can be reached by keyboard, the headings of the navigation have a level, the parameters of a signature are
not a definition list without terms, and Chinese text says that it is Chinese.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

CHINESE = "zh-Hans"
_HAN = r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
# A browser shows the end of a line as a space, which Chinese does not have.
_BROKEN_LINE = re.compile(rf"(?<={_HAN})\n(?={_HAN})")
_CHINESE_LINK = re.compile(r"<a (?=[^>]*>(?:<[^/][^>]*>)*[\u4e00-\u9fff])")
_PARAMETERS = re.compile(r'<dl>\s*((?:<dd><em class="sig-param">.*?</dd>\s*)+)</dl>', re.DOTALL)
_PARAMETER = re.compile(r'<dd>(<em class="sig-param">.*?)</dd>', re.DOTALL)


def is_chinese(page: str) -> bool:
    """Tell whether a page, named without its extension, is a translation."""
    return page.endswith(".zh-CN")


def accessible(html: str) -> str:
    """Return the HTML of a page, or of its navigation, with what assistive technology and keyboards need."""
    html = html.replace('role="heading">', 'role="heading" aria-level="2">')
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = re.sub(r'<div class="table-wrapper[^>]*', r'\g<0> tabindex="0" role="group" aria-label="Table"', html)
    html = _PARAMETERS.sub(lambda found: _parameters(found[1]), html)
    return _CHINESE_LINK.sub(f'<a lang="{CHINESE}" ', html)


def _parameters(rows: str) -> str:
    divisions = _PARAMETER.sub(r"<div>\1</div>", rows)
    return f'<div class="sig-params">\n{divisions}</div>'


def prepare(_app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Change what the template of a page is filled with."""
    if is_chinese(page):
        context["language"] = CHINESE
        context["body"] = _BROKEN_LINE.sub("", context["body"])
    for part in ("body", "furo_navigation_tree"):
        if part in context:
            context[part] = accessible(context[part])
