"""Iris: the worked example of a classifier."""

from typing import Annotated

from pydantic import Field

from sepal.contracts import Contract, Features, Labels, feature

Length = Annotated[float, Field(gt=0, le=30)]


class Iris(Features):
    """The species of an iris, from four lengths of its flower in centimetres."""

    SepalLengthCm: Length = feature(
        "sepal length (cm)", example=5, unit="cm", description="Length of the sepal."
    )
    SepalWidthCm: Length = feature(
        "sepal width (cm)", example=2, unit="cm", description="Width of the sepal."
    )
    PetalLengthCm: Length = feature(
        "petal length (cm)", example=3, unit="cm", description="Length of the petal."
    )
    PetalWidthCm: Length = feature(
        "petal width (cm)", example=4, unit="cm", description="Width of the petal."
    )


contract = Contract(
    name="iris",
    features=Iris,
    target=Labels(
        names=("Iris-setosa", "Iris-versicolor", "Iris-virginica"),
        column="Species",
        example="Iris-virginica",
    ),
)
