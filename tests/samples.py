"""What a page of metrics says."""

from prometheus_client.parser import text_string_to_metric_families


def samples_in(text: str) -> dict[str, float]:
    """The samples, each by its name and the values of its labels, in the order of the labels' names."""
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
