"""A headless browser on the dashboard of a real gateway, in front of a pretend LM Studio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, expect

from tests.support.gateway import Gateway
from tests.support.studio import Held, Studio
from tests.support.waiting import PATIENCE_SECONDS

MODEL = "llama-3.2-3b-instruct"
TITLE = "Llama 3.2 3B Instruct"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}

# A violated policy is a console error in most browsers, and this event in all of them.
_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error("CSP", event.violatedDirective), true);
"""

# All of axe's rules, its best practices among them.
AXE_OPTIONS = {"resultTypes": ["violations"]}

# The charts follow a frame later.
STICKING_OUT = """
new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const width = document.documentElement.clientWidth;
  const out = document.documentElement.scrollWidth <= width ? [] : [...document.querySelectorAll("body *")];
  resolve(out.filter((node) => node.getBoundingClientRect().right > width).map((node) => node.outerHTML));
})))
"""


class Stepwise(Held):
    """Loads and tokens wait at each step to be let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = asyncio.Semaphore(0)

    async def token(self, speed: float = 1.0) -> None:
        await self.tokens.acquire()

    def go_on(self, tokens: int) -> None:
        for _ in range(tokens):
            self.tokens.release()

    def finish(self) -> None:
        super().finish()
        self.go_on(10_000)


@dataclass
class Visit:
    """One tab. `complaints` are the console's errors and warnings, `asked` the URLs that the page requested.

    The browser logs each status from 400 on; `tolerated` is the one that a test expects.
    """

    page: Page
    gateway: Gateway
    studio: Studio
    pace: Stepwise
    api_key: str = ""
    tolerated: int | None = None
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def listen(self) -> None:
        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                self.complaints.append(f"{message.type}: {message.text} {message.location['url']}")

        def on_request(request: Request) -> None:
            self.asked.append(request.url)

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", on_request)

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self.gateway.base_url}{path}")

    def section(self, title: str) -> Locator:
        return self.page.get_by_role("region", name=title, exact=True).first

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def log_in(self, key: str) -> None:
        await self.page.get_by_label("Key", exact=True).fill(key)
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator("#login")).to_be_hidden()

    async def go_to(self, view: str) -> None:
        """Open a view by its link in the header."""
        await self.page.get_by_role("link", name=view, exact=True).click()

    async def make_key(self, name: str, **settings: object) -> str:
        """Make a named key, and return its secret."""
        made = await self.post("/admin/keys", name=name, **settings)
        return str(made["key"])

    async def status_of(self, key: str) -> int:
        """The status of a request with this key."""
        async with self.gateway.client.get(
            self.gateway.url("/admin/keys/self"), headers={"X-API-Key": key}
        ) as response:
            return response.status

    async def change_key(self, method: str, name: str, **patch: object) -> None:
        """Change or revoke a named key as the owner."""
        url, headers = self.gateway.url(f"/admin/keys/{name}"), {"X-API-Key": self.api_key}
        async with self.gateway.client.request(method, url, json=patch, headers=headers) as response:
            assert response.status == 200

    async def post(self, path: str, **body: object) -> Any:
        headers = {"X-API-Key": self.api_key}
        async with self.gateway.client.post(self.gateway.url(path), json=body, headers=headers) as response:
            return await response.json()

    @asynccontextmanager
    async def chat(self, key: str = "", **body: object) -> AsyncIterator[aiohttp.ClientResponse]:
        """A streaming chat of some client, held before its second token."""
        message = {"role": "user", "content": "Tell me everything."}
        asked = {"model": MODEL, "messages": [message], "stream": True, **body}
        url = self.gateway.url("/v1/chat/completions")
        headers = {"X-API-Key": key} if key else {}
        async with self.gateway.client.post(url, json=asked, headers=headers) as response:
            yield response

    async def tab_to(self, name: str) -> None:
        """Press Tab until the control of this name has the focus."""
        for _ in range(40):
            await self.page.keyboard.press("Tab")
            if (
                await self.page.evaluate(
                    "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
                )
                == name
            ):
                return
        raise AssertionError(f"Tab never reaches {name!r}")

    def check(self) -> None:
        """The page must have logged nothing, and asked no other host."""
        tolerated = f"responded with a status of {self.tolerated} "
        complaints = [complaint for complaint in self.complaints if tolerated not in complaint]
        assert not complaints, complaints
        elsewhere = [url for url in self.asked if not url.startswith((self.gateway.base_url, "data:"))]
        assert not elsewhere, elsewhere


async def new_page(browser: Browser, **options: Any) -> Page:
    context = await browser.new_context(**{**DESKTOP, **options})
    await context.add_init_script(_TELL_VIOLATIONS)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    return page


async def violations(page: Page) -> list[str]:
    results = await Axe().run(page, options=AXE_OPTIONS)
    return [
        f"{violation['id']}: {node['html']}"
        for violation in results.response["violations"]
        for node in violation["nodes"]
    ]


async def check_schemes(visit: Visit) -> None:
    """Have axe check the page in both colour schemes."""
    for scheme in ("light", "dark"):
        await visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert await violations(visit.page) == []


async def check_widths(visit: Visit, *widths: int) -> None:
    """Nothing sticks out of a page of these widths."""
    for width in widths:
        await visit.page.set_viewport_size({"width": width, "height": 700})
        assert await visit.page.evaluate(STICKING_OUT) == []
