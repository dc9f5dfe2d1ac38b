"""Every scenario happens as it is told, and leaves all three databases telling the same story."""

from __future__ import annotations

import psycopg
import pytest

from replicator.demo.factories import FACTORIES
from replicator.demo.scenarios import SCENARIOS, Scenario
from replicator.demo.scenarios.invitation import TRIES, Try
from replicator.demo.verify import verify
from replicator.runtime import demo_stage
from replicator.runtime.demo_site import DemoSite
from replicator.runtime.demo_stage import Event, Explained, ScenarioFailed, Seen, SiteStage, Typed, as_document


def another_name(stage: SiteStage) -> None:
    """Whichever test of a conflict comes second on this site: what is there already is no edit."""
    stage.given("crm", "update crm.account set name = 'Costa' where vat_number = 'ES811000003'")
    stage.settled()


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_scenario(scenery: DemoSite, scenario: Scenario) -> None:
    events: list[Event] = []
    with SiteStage(scenery, events.append) as stage:
        another_name(stage)
        scenario.play(stage)
    assert any(isinstance(event, Typed) for event in events)
    assert any(isinstance(event, Seen) and event.rows and event.ms is not None for event in events)
    assert all(as_document(event) for event in events)
    assert scenery.arrive()
    assert verify(scenery.dsns["crm"], {one.code: scenery.dsns[one.node] for one in FACTORIES}).differences == []
    with psycopg.connect(scenery.dsns["crm"]) as crm:
        assert crm.execute("SELECT link, message FROM replicator.parked").fetchall() == []


@pytest.mark.parametrize("one", TRIES, ids=lambda one: f"{one.node} to {one.then}")
def test_what_a_person_is_invited_to_try_arrives(scenery: DemoSite, one: Try) -> None:
    with SiteStage(scenery, lambda _: None) as stage:
        before = dict(stage.sees(one.then, one.looks))
        stage.does(one.node, one.types)
        stage.settled()
        assert dict(stage.sees(one.then, one.looks)) != before


def test_what_does_not_come_fails_the_scenario(scenery: DemoSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_stage, "LONGEST_WAIT", 0.1)
    with SiteStage(scenery, lambda _: None) as stage:
        with pytest.raises(ScenarioFailed, match=r"erp_north does not show code 'PUMP-41'.*its first of 1 rows is"):
            stage.sees("erp_north", "select code from erp.item where code = 'PUMP-40'", code="PUMP-41")
        with pytest.raises(ScenarioFailed, match=r"has what should not be there"):
            stage.sees_nothing("crm", "select sku from crm.product")
        with pytest.raises(ScenarioFailed, match=r"no conflict about customer.tax_id"):
            stage.explains("customer", "tax_id")


def test_a_conflict_is_explained_with_both_values(scenery: DemoSite) -> None:
    events: list[Event] = []
    with SiteStage(scenery, events.append) as stage:
        another_name(stage)
        SCENARIOS["conflict"].play(stage)
    (told,) = (event for event in events if isinstance(event, Explained))
    assert {edit.value for edit in (told.conflict.incoming, told.conflict.existing)} == {
        "Costa y Hijos SA",
        "Costa & Hijos, S.A.",
    }
    assert told.conflict.winner == "erp_north"
    assert {standing.value for standing in told.now.values()} == {"Costa & Hijos, S.A."}
