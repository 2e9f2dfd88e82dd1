"""What a phone's narrow screen must not cut off, and what differs with a finger."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.dashboard.browsing import PHONE, Visit
from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.key_pages import make, open_keys
from tests.dashboard.test_chat import answers, figures, open_chat, script, send
from tests.dashboard.test_usage import ROWS, open_usage, table

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEY = "the owner's key"
LONG = "A long answer.\n" * 60
# The labels of a chart are drawn, and not in the page.
RECORD_LABELS = """
const { clearRect, fillText } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.clearRect = function (...box) {
  this.canvas.labels = [];
  clearRect.apply(this, box);
};
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  const width = this.measureText(text).width;
  const left = x - width * ({ right: 1, end: 1, center: 0.5 }[this.textAlign] ?? 0);
  this.canvas.labels.push({ y, left, right: left + width });
  fillText.call(this, text, x, y);
};
"""
# The gaps between the labels of the time axis, from left to right.
GAPS = """
() => {
  const labels = document.querySelector("#usage-chart canvas")?.labels ?? [];
  const low = Math.max(...labels.map(({ y }) => y));
  const row = labels.filter(({ y }) => y === low).sort((a, b) => a.left - b.left);
  return row.length > 1 && row.slice(1).map(({ left }, index) => left - row[index].right);
}
"""
# The room for the text of the widest option, beside the select's arrow.
SPARE = """
select => {
  const { font, paddingLeft, paddingRight } = getComputedStyle(select);
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = font;
  const text = Math.max(...[...select.options].map(({ label }) => pen.measureText(label).width));
  return select.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight) - 16 - text;
}
"""


async def faded(visit: Visit) -> list[bool]:
    """Whether the strip of links fades out at its left, and at its right end."""
    mask: str = await visit.page.locator("#views").evaluate("strip => getComputedStyle(strip).maskImage")
    return ["rgb(0, 0, 0) 48px" in mask, "calc(100% - 48px)" in mask]


async def box(node: Locator) -> dict[str, float]:
    found: Any = await node.bounding_box()
    assert found is not None
    return dict(found)


async def test_the_links_fade_out_where_there_are_more(open_dashboard: OpenDashboard) -> None:
    """The link of the view that is opened is in view."""
    visit = await open_dashboard(path="/dashboard#system", api_key=KEY, **PHONE)
    await visit.log_in(KEY)
    await expect(visit.page.get_by_role("link", name="System", exact=True)).to_be_in_viewport(ratio=1)
    await expect(visit.page.locator("#views")).to_have_class("more-before")
    assert await faded(visit) == [True, False]
    await visit.page.evaluate("location.hash = 'now'")
    await expect(visit.page.locator("#views")).to_have_class("more-after")
    assert await faded(visit) == [False, True]
    await visit.page.set_viewport_size({"width": 1280, "height": 900})
    await expect(visit.page.locator("#views")).to_have_class("")


async def test_one_button_sends_and_stops(open_dashboard: OpenDashboard) -> None:
    """At one place. With a finger no key is named, and the keyboard doesn't open."""
    visit = await open_chat(open_dashboard, **PHONE)
    await expect(visit.page.locator("#chat-keys")).to_have_text("Enter sends.", use_inner_text=True)
    await visit.page.get_by_label("Message").fill("Hello!")
    send_button = visit.button("Send")
    place, field = await box(send_button), await box(visit.page.get_by_label("Message"))
    await send_button.tap()
    await expect(send_button).to_have_count(0)
    stop = await box(visit.button("Stop"))
    assert (stop["width"], stop["x"]) == (place["width"], place["x"])
    assert (await box(visit.page.get_by_label("Message")))["width"] == field["width"]
    await expect(answers(visit)).to_have_text("This")
    await visit.button("Stop").tap()
    await expect(visit.button("Send")).to_be_visible()
    await expect(figures(visit)).to_have_text(re.compile("^Stopped"))
    await expect(visit.page.get_by_label("Message")).not_to_be_focused()


async def test_a_double_click_sends_and_doesnt_stop(open_dashboard: OpenDashboard) -> None:
    visit = await open_chat(open_dashboard)
    await visit.page.get_by_label("Message").fill("Hello!")
    await visit.button("Send").dblclick()
    visit.pace.finish()
    await expect(figures(visit)).to_have_text(re.compile("tokens/s"))


async def test_stopped_stays_at_its_answer(open_dashboard: OpenDashboard) -> None:
    visit = await open_chat(open_dashboard)
    await send(visit, "Hello!")
    await expect(answers(visit)).to_have_text("This")
    await visit.page.keyboard.press("Escape")
    await expect(figures(visit)).to_have_text(re.compile("^Stopped"))
    await script(visit, {"content": "Yes."})
    await send(visit, "Again")
    await expect(answers(visit)).to_have_text(["This", "Yes."])
    await expect(figures(visit).first).to_have_text(re.compile("^Stopped"))
    await expect(figures(visit).last).not_to_have_text(re.compile("Stopped"))
    await expect(visit.page.locator("#chat-state")).to_have_text(re.compile(r"^\s*$"))


async def test_a_long_conversation_leaves_room_for_the_hint(open_dashboard: OpenDashboard) -> None:
    visit = await open_chat(open_dashboard, **PHONE)
    await script(visit, {"content": LONG})
    await send(visit, "Hello!")
    await expect(answers(visit)).to_contain_text("A long answer.")
    await expect(visit.page.locator("#chat-keys")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("width", [320, 390])
async def test_the_usage_fits(open_dashboard: OpenDashboard, width: int) -> None:
    """No chosen range is cut, and no labels of the time axis touch."""
    rows = [{**row, "hour": "2027-01-31T11:00:00.000Z", "month": "2027-01"} for row in ROWS]
    visit, _ = await open_usage(
        open_dashboard, rows, **{**PHONE, "viewport": {"width": width, "height": 844}}
    )
    await visit.page.add_init_script(RECORD_LABELS)
    await visit.page.reload()
    await expect(table(visit, "By key")).to_be_visible()
    for name in ("24 hours", "7 days", "30 days", "90 days", "12 months"):
        choice = visit.page.get_by_label("Range")
        await choice.select_option(name)
        await expect(visit.page.get_by_role("img", name=f"the last {name}")).to_be_visible()
        assert await choice.evaluate(SPARE) >= 0
        gaps = await (await visit.page.wait_for_function(GAPS)).json_value()
        assert min(gaps) >= 8, (name, gaps)


async def test_a_long_dialog_keeps_its_buttons_in_view(open_dashboard: OpenDashboard) -> None:
    """And the field that has the focus isn't behind them."""
    visit = await open_keys(open_dashboard, **PHONE)
    await visit.button("Make a key").click()
    for button in ("Make", "Cancel"):
        await expect(visit.button(button)).to_be_in_viewport(ratio=1)
    last = visit.page.get_by_label("Requests at once")
    await last.focus()
    foot, field = await box(visit.page.locator("dialog .foot")), await box(last)
    assert field["y"] + field["height"] <= foot["y"]
    await expect(visit.button("Make")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("width", [320, 390])
async def test_a_new_key_is_one_line(open_dashboard: OpenDashboard, width: int) -> None:
    visit = await open_keys(open_dashboard, **{**PHONE, "viewport": {"width": width, "height": 844}})
    await make(visit, "anna")
    lines = "node => { const r = new Range(); r.selectNodeContents(node); return r.getClientRects().length; }"
    assert await visit.page.get_by_label("The key anna").last.evaluate(lines) == 1
