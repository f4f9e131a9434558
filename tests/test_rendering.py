"""GIFs show every step of an episode, and stand still where it is over."""

import dataclasses

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest
import tiny_training
from PIL import Image, ImageSequence

from leed_jax import mixed_teams, rendering, scenarios
from leed_jax.episodes import Episodes
from leed_jax.instructions import AgentPlan, Instruction
from leed_jax.rendering import Clip


@pytest.fixture(scope="module")
def scenario():
    return scenarios.make("mpe/simple_spread", num_agents=2)


@pytest.fixture(scope="module")
def demonstration(scenario):
    plan = {
        agent: AgentPlan((Instruction("MoveTo", {"target": place, "keep_distance": 0.3}),))
        for agent, place in zip(scenario.env.spec.agents, ("landmark_1", "landmark_0"), strict=True)
    }
    return rendering.demonstration_clip(scenario, plan, jax.random.key(0))


def shortened(clip: Clip, length: int, title: str = "short") -> Clip:
    states, targets = jax.tree.map(lambda leaf: leaf[:length], (clip.states, clip.targets))
    return Clip(title, states, clip.rewards[:length], targets)


def frames_of(path):
    with Image.open(path) as image:
        return [
            (np.asarray(frame.convert("RGB")).astype(int), frame.info["duration"])
            for frame in ImageSequence.Iterator(image)
        ]


def test_a_demonstration_has_a_target_for_every_agent_and_step(scenario, demonstration):
    horizon = scenario.env.spec.horizon
    assert demonstration.rewards.shape == (horizon,)
    # Landmarks are the entities behind the agents; both stay where they are.
    landmarks = demonstration.states.p_pos[:, 2:]
    np.testing.assert_allclose(demonstration.targets.point, landmarks[:, ::-1], atol=1e-6)


def test_a_gif_has_a_frame_per_step_and_rests_on_the_last(scenario, demonstration, tmp_path):
    path = tmp_path / "new" / "one.gif"
    rendering.save_gif(scenario, [shortened(demonstration, 4)], path, fps=20)
    found = frames_of(path)
    assert [duration for _, duration in found] == [50, 50, 50, 1500]
    assert all((found[0][0] != pixels).any() for pixels, _ in found[1:])
    assert [each.name for each in path.parent.iterdir()] == ["one.gif"]  # nothing partial is left


@pytest.mark.parametrize(("length", "apart"), [(4, 1), (5, 2), (9, 3)])
def test_of_a_long_episode_every_kth_step_is_shown_and_the_last(
    length, apart, tmp_path, monkeypatch
):
    monkeypatch.setattr(rendering, "MAX_FRAMES", 4)
    drawn = []
    toy = line_world.scenario()._replace(
        draw=lambda axes, state, targets: drawn.append(int(state.clock))
    )
    states = line_world.Line(jnp.zeros((length, 2), jnp.int32), jnp.arange(length))
    path = tmp_path / "long.gif"
    rendering.save_gif(toy, [Clip("long", states, np.ones(length))], path)
    assert len(drawn) <= rendering.MAX_FRAMES
    assert drawn[-1] == length - 1
    assert drawn[0] < apart
    assert set(np.diff(drawn)) == {apart}


def test_an_episode_that_is_over_stands_still_beside_a_longer_one(
    scenario, demonstration, tmp_path
):
    path = tmp_path / "two.gif"
    clips = [shortened(demonstration, 2), shortened(demonstration, 5, "longer")]
    rendering.save_gif(scenario, clips, path)
    found = [pixels for pixels, _ in frames_of(path)]
    middle = found[0].shape[1] // 2
    assert len(found) == 5
    assert (found[1][:, :middle] == found[-1][:, :middle]).all()
    assert (found[1][:, middle:] != found[-1][:, middle:]).any()


def test_targets_are_drawn_only_where_given(scenario, demonstration, tmp_path):
    drawn = []
    spy = scenario._replace(draw=lambda axes, state, targets: drawn.append(targets))
    clips = [shortened(demonstration, 1), shortened(demonstration, 1)._replace(targets=None)]
    rendering.save_gif(spy, clips, tmp_path / "two.gif")
    assert drawn[0] is not None
    assert drawn[1] is None


def test_clip_cuts_the_padding():
    batch = Episodes(
        returns=jnp.zeros((2, 3)),
        measures={},
        length=jnp.array([5, 2]),
        valid=jnp.arange(5) < jnp.array([[5], [2]]),
        rewards=jnp.ones((2, 5, 3)),
        record=(),
    )
    states = {"place": jnp.arange(20).reshape(2, 5, 2)}
    cut = rendering.clip("second", batch, states, index=1)
    assert cut.rewards.tolist() == [3.0, 3.0]  # summed over three agents
    assert cut.states["place"].tolist() == [[10, 11], [12, 13]]


def test_a_failed_drawing_leaves_the_former_file(scenario, demonstration, tmp_path):
    path = tmp_path / "one.gif"
    path.write_bytes(b"former")

    def fail(*_):
        raise RuntimeError("draw")

    with pytest.raises(RuntimeError, match="draw"):
        rendering.save_gif(scenario._replace(draw=fail), [demonstration], path)
    assert path.read_bytes() == b"former"


def test_wrong_clips_are_named(scenario, demonstration, tmp_path):
    path = tmp_path / "one.gif"
    wrong = demonstration._replace(rewards=demonstration.rewards[:3])
    with pytest.raises(ValueError, match="'demonstration': 3 rewards"):
        rendering.save_gif(scenario, [wrong], path)
    with pytest.raises(ValueError, match="no clip"):
        rendering.save_gif(scenario, [], path)
    with pytest.raises(ValueError, match="fps"):
        rendering.save_gif(scenario, [demonstration], path, fps=0)


def test_a_team_a_policy_demonstrations_and_a_plan_are_rendered_alike(tmp_path):
    drawn = []

    def draw(axes, state, targets):
        drawn.append((int(state.clock), targets is not None))
        seen.append(state.place.tolist())

    team, seen = tiny_training.result(), []
    toy = tiny_training.scenario()._replace(draw=draw)
    shown = {
        "team": team,
        "demonstrations": tiny_training.demos(),
        "plan": line_world.all_right(),
        # Of the same team in both places: the same episode under another title.
        "policy": mixed_teams.mixed_team(toy, dict.fromkeys(line_world.AGENTS, team)),
    }
    places = {}
    for name, what in shown.items():
        drawn.clear()
        seen.clear()
        rendering.render(toy, what, tmp_path / f"{name}.gif", fps=20)
        # Every step of the toy world once; what follows no plan has no targets.
        planned = name in ("demonstrations", "plan")
        assert drawn == [(step, planned) for step in range(line_world.HORIZON)]
        places[name] = list(seen)
    assert places["policy"] == places["team"]
    assert (tmp_path / "demonstrations.gif").read_bytes() == (tmp_path / "plan.gif").read_bytes()


def test_demonstrations_of_several_plans_cannot_be_rendered(tmp_path):
    demos = tiny_training.demos()
    plans = demos.provenance["plans"]
    several = {"episode_0": plans["any_episode"], "episode_1": plans["any_episode"]}
    concrete = dataclasses.replace(demos, provenance={"plans": several})
    for wrong in (concrete, dataclasses.replace(demos, provenance={})):
        with pytest.raises(ValueError, match="one relational plan can be shown"):
            rendering.render(tiny_training.scenario(), wrong, tmp_path / "wrong.gif")
    assert not (tmp_path / "wrong.gif").exists()
