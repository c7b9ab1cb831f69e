import numpy as np

from lossmap.interactive.curves import draw_curves


def test_curves_stand_over_what_they_are_given_along():
    positions = np.linspace(-1, 1, 5)
    lines = {"mine": {"positions": positions, "loss": positions**2, "accuracy": positions}}
    along = ("positions", "position on the line")
    figure = draw_curves(lines, {"loss": "loss (nats)", "accuracy": "accuracy"}, along=along)
    np.testing.assert_array_equal(figure.data[0].x, positions)
    np.testing.assert_array_equal(figure.data[0].y, positions**2)
    assert figure.layout.xaxis.title.text == "position on the line"
    assert figure.layout.yaxis.type == "log"
    (menu,) = figure.layout.updatemenus
    np.testing.assert_array_equal(menu.buttons[1].args[0]["y"][0], positions)
