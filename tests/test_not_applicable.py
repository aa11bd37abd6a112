"""An attack that finds the target unfit is a row that says so: neither a failure nor a gap."""
from dataclasses import replace

from drlit.bench import bench
from drlit.profiles import profile


def test_deep_inversion_on_a_network_without_batchnorm(tmp_path):
    plan = replace(profile("quick"), arch=("mlp",), attacks=("deep_inversion", "null_noise"), sizes=(20,), seeds=(0,), metrics=("mse",), similar="", permutations=9,
                   training=dict(min_epochs=1, max_epochs=1))
    frame = bench(plan, tmp_path).set_index("attack")
    mine = frame.loc[["deep_inversion"]]
    assert set(mine.control) == {"none", "held_out", "wrong_key"} and set(mine.status) == {"not applicable"} and mine.value.isna().all()
    assert mine.error.str.contains(r"the model \(mlp\) has no BatchNorm2d layer", regex=True).all()
    assert set(frame.loc[["null_noise"]].status) == {"ok"}
