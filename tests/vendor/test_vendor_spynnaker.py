"""The real sPyNNaker on virtual boards: what it would load, against what artefacts say; its figures, against ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from family_chip_nets import FIRST, GE, net, raster
from spinnaker_board import RECORDED, store, stored
from spinnaker_nets import TARGET, Rasters, dense_net, mixed_net, small_net

import norse_export
from norse_export.passes.quantise import QuantiseChoice
from norse_export.program.families import family
from norse_export.program.program import Family
from norse_export.targets.spinnaker import image
from norse_export.targets.spinnaker.compared import KINDS, compare
from norse_export.targets.spinnaker.limits import DECIDES, totals
from norse_export.targets.spinnaker.placing import place
from norse_export.targets.spinnaker.predicted import Predicted, predict
from norse_export.targets.spinnaker.vendor import mapped

pytestmark = pytest.mark.vendor

EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON = "NORSE_EXPORT_VENDOR_PYTHON"


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter that has sPyNNaker; `make test-vendor` names it."""
    if PYTHON not in os.environ:
        pytest.skip(f"{PYTHON} is not set: no interpreter with sPyNNaker")
    return Path(os.environ[PYTHON]).absolute()


def proved(artefact: Path, rasters: Rasters, python: Path) -> dict[str, Any]:
    """Nothing differs, and there is something of every kind; sPyNNaker's figures, which are ours."""
    report = TARGET.vendor_check("spynnaker", artefact, rasters, python=python)
    assert {kind: counts.differing for kind, counts in report.compared.items()} == dict.fromkeys(KINDS, 0)
    assert all(counts.total for counts in report.compared.values())
    assert (report.version, report.findings) == ("1!7.4.1", ())
    ours = totals(predict(artefact, rasters).use)
    assert {name: ours[name] for name in report.figures if ours[name] != DECIDES}.items() <= report.figures.items()
    return {name: report.figures[name] for name in ("cores", "chips")} | {"ours": ours}


@pytest.mark.parametrize(
    ("sizes", "cores", "chips"), [((784, 100, 10), 3, 1), ((200, 64, 10), 3, 1), ((20, 4500, 10), 20, 3)]
)
def test_dense_networks(sizes: tuple[int, ...], cores: int, chips: int, python: Path, tmp_path: Path) -> None:
    found = proved(tmp_path, dense_net(tmp_path, *sizes), python)
    assert (found["cores"], found["chips"]) == (cores, chips)
    assert (found["ours"]["routing_entries"] == DECIDES) is (chips > 1)


@pytest.mark.parametrize(
    "made",
    [
        family("if", rule=GE),
        family("lif_refrac", recurrent=True),
        family("leaky_zero"),
        family("cuba_lif", recurrent=True, rule=FIRST),
    ],
    ids=lambda made: made.name,
)
def test_families_of_every_framework(made: Family, python: Path, tmp_path: Path) -> None:
    TARGET.emit(TARGET.lower(net(made), QuantiseChoice(), raster()).graph, tmp_path)
    found = proved(tmp_path, raster(), python)
    assert (found["cores"], found["chips"]) == (3, 1)


def test_the_digits_and_their_script(python: Path, tmp_path: Path) -> None:
    out, home = tmp_path / "digits.spinnaker", tmp_path / "home"
    (result,) = norse_export.export(EXAMPLES / "digits/model.pt", "spinnaker", out=out).targets
    assert result.error is None
    rasters = TARGET.recorded(out)
    assert rasters is not None
    proved(out, rasters, python)
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [python, out / "deploy.py", "--virtual"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "mapped; nothing ran")
    assert list(home.iterdir()) == []  # the user's own configuration is left alone


def test_rasters_without_a_spike(python: Path, tmp_path: Path) -> None:
    rasters = {name: np.zeros_like(raster) for name, raster in dense_net(tmp_path, 12, 5).items()}
    proved(tmp_path, rasters, python)


@pytest.fixture(scope="module")
def mixed(python: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Predicted, Any]:
    artefact, folder = tmp_path_factory.mktemp("mixed"), tmp_path_factory.mktemp("board")
    network = predict(artefact, mixed_net(artefact))
    return network, mapped(artefact, network, folder, python)


def differing(network: Predicted, board: Any) -> dict[str, int]:
    compared, _, _ = compare(network, board)
    return {kind: counts.differing for kind, counts in compared.items() if counts.differing}


def test_a_network_of_everything(mixed: tuple[Predicted, Any]) -> None:
    network, board = mixed
    compared, figures, findings = compare(network, board)
    assert differing(network, board) == {}
    assert all(counts.total for counts in compared.values())
    assert findings == []
    ours = totals(network.use)
    assert {name: ours[name] for name in figures} == figures
    slots = {label: (one.longest_delay, one.slots) for label, one in network.use.items()}
    assert slots["loop"] == (32, 32)  # a whole turn of the ring buffers


def changed(network: Predicted, label: str, **changes: Any) -> Predicted:
    return replace(network, neurons={**network.neurons, label: replace(network.neurons[label], **changes)})


def onto(network: Predicted, label: str, **changes: Any) -> Predicted:
    first, *others = network.neurons[label].onto
    return changed(network, label, onto=(replace(first, **changes), *others))


def other_weight(network: Predicted) -> Predicted:
    weights = network.neurons["loop"].onto[0].weights.copy()
    weights[7] += 1
    return onto(network, "loop", weights=weights)


def other_target(network: Predicted) -> Predicted:
    one = network.neurons["li"].onto[0]
    targets = one.target_cells.copy()
    targets[0] = next(cell for cell in range(10) if cell not in targets[one.source_cells == one.source_cells[0]])
    return onto(network, "li", target_cells=targets)


def one_less(network: Predicted) -> Predicted:
    one = network.neurons["first"].onto[0]
    fields = ("source_cells", "target_cells", "weights")
    return onto(network, "first", **{name: getattr(one, name)[1:] for name in fields})


def other_word(network: Predicted) -> Predicted:
    words = network.neurons["loop"].words.copy()
    words[259, 9] += 1
    return changed(network, "loop", words=words)


def other_use(network: Predicted, **changes: Any) -> Predicted:
    return replace(network, use={**network.use, "box": replace(network.use["box"], **changes)})


def no_projection(network: Predicted) -> Predicted:
    return changed(network, "box", onto=network.neurons["box"].onto[1:])


FAULTS: dict[str, tuple[Callable[[Predicted], Predicted], set[str]]] = {
    "weight": (other_weight, {"rows", "weights"}),
    "delay": (partial(onto, label="box", delay_steps=2), {"rows", "delays"}),
    "receptor type": (partial(onto, label="box", kind=1), {"rows"}),
    "target": (other_target, {"rows"}),
    "one synapse less": (one_less, {"rows", "weights", "delays"}),
    "a projection less": (no_projection, {"rows", "weights", "delays"}),
    "word": (other_word, {"parameters"}),
    "uniform word": (lambda one: changed(one, "li", words=one.neurons["li"].words + 1), {"parameters"}),
    "shift": (lambda one: changed(one, "first", shifts=(31, 31)), {"shifts"}),
    "slots": (partial(other_use, longest_delay=3), {"slots"}),
    "memory": (partial(other_use, sdram_bytes=1), {"sdram"}),
    "neurons": (partial(other_use, neurons=39), {"cores"}),
    "cores": (partial(other_use, cores=2), {"cores", "sdram"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_differs_is_found(fault: str, mixed: tuple[Predicted, Any]) -> None:
    make, kinds = FAULTS[fault]
    network, board = mixed
    assert kinds <= set(differing(make(network), board))


def test_cores_that_are_not_foretold_are_found(mixed: tuple[Predicted, Any]) -> None:
    network, board = mixed
    more = {**board["cores"][-1], "label": "other"}
    assert differing(network, {**board, "cores": [*board["cores"], more]}) == {"cores": 1}
    assert set(differing(network, {**board, "cores": board["cores"][:-1]})) == {"cores", "sdram"}


def test_what_was_recorded_is_what_it_makes(
    python: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    network = predict(tmp_path, small_net(tmp_path))
    board = mapped(tmp_path, network, tmp_path_factory.mktemp("board"), python)
    if request.config.getoption("--update-golden"):
        store(RECORDED, network, board)
    _, recorded = stored(RECORDED, tmp_path)
    for name in ("version", "planned_steps", "keys", "routers"):
        assert recorded[name] == board[name]
    for core, again in zip(recorded["cores"], board["cores"], strict=True):
        assert core == again
        first, second = (image.regions(Path(one["database"]), tuple(core["place"])) for one in (recorded, board))
        assert {number: words.shape for number, words in first.items()} == {
            number: words.shape for number, words in second.items()
        }


def test_cores_are_placed_where_it_places_them(python: Path, tmp_path: Path) -> None:
    (tmp_path / ".spynnaker.cfg").write_text(
        "[Machine]\nvirtual_board = True\nversion = 5\n[Mode]\nmode = Production\n"
    )
    sizes = [16, 16, 16, 14, 31, 33, 1, 1, 7, 90, 120, 60, 60, 5, 3, 40, 17, 2, 2, 1, 30]
    script = Path(__file__).with_name("placed_populations.py")
    command = [python, script, json.dumps(sizes)]
    environment = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    chips = place([[memory for *_, memory in cores] for cores in found])
    assert chips == [[(x, y) for x, y, _ in cores] for cores in found]
