"""The XML of a labeling config, read without its dangers; names are compared as Label Studio's editor does."""

from __future__ import annotations

from xml.etree import ElementTree


class ConfigError(ValueError):
    """A labeling config that we cannot learn from; `kind` names the reason in snake_case."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _NoDoctype(ElementTree.TreeBuilder):
    """A DOCTYPE can declare entities that expand without bound or read files; a labeling config needs none."""

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        raise ConfigError("doctype", "The labeling config has a DOCTYPE, which is refused; delete that line.")


def parse(label_config: str) -> ElementTree.Element:
    """The root tag; ConfigError where the text is no XML or has a DOCTYPE."""
    try:
        return ElementTree.fromstring(label_config, parser=ElementTree.XMLParser(target=_NoDoctype()))
    except ConfigError:
        raise
    except (ElementTree.ParseError, ValueError) as error:
        raise ConfigError(
            "not_xml", f"The labeling config is not XML ({error}); repair it under Settings > Labeling Interface."
        ) from error


def is_tag(tag: ElementTree.Element, name: str) -> bool:
    """Label Studio's editor compares tag names without their case."""
    return isinstance(tag.tag, str) and tag.tag.lower() == name


def attribute(tag: ElementTree.Element, name: str) -> str:
    """The value of an attribute whatever its case, without spaces around it; empty where it is absent."""
    return next((value.strip() for key, value in tag.attrib.items() if key.lower() == name), "")
