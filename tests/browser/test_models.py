"""The page of models: how each is understood, or why not, and a try on one picture."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.async_api import Page, expect

from tests.browser.looking import look
from tests.browser.site import Site, open_site
from tests.support import models
from tests.support.databases import Databases

HOSTILE = "<img src=x onerror=alert(1)>.onnx"


async def test_each_model_is_explained_and_tried_on_a_picture(site: Site, page: Page, tmp_path: Path) -> None:
    await page.goto(f"{site.url}#/models")
    await expect(page.get_by_text("VA_MODEL_ROOT")).to_be_visible()
    await look(page, "models-empty")
    root = site.settings.model_root
    (root / "yard").mkdir()
    names = "{0: '<b>bright</b>', 1: 'red'}"
    models.yolov8(root / "yard" / "a.onnx", metadata={"names": names})
    models.not_a_model(root / HOSTILE)
    await page.reload()
    await expect(page.get_by_role("button", name=HOSTILE)).to_contain_text("Copy or export it again")
    await page.get_by_role("button", name="yard/a.onnx").click()
    model = page.get_by_role("region", name="yard/a.onnx")
    await expect(model).to_contain_text("640 × 640, letterbox, rgb")
    await model.get_by_text("Labels", exact=True).click()
    await expect(model.get_by_text("<b>bright</b>, red")).to_be_visible()
    image = np.zeros((720, 1280, 3), np.uint8)
    image[168:232, 256:320] = 255  # where this network finds a square
    picture = tmp_path / "picture.png"
    picture.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Choose a picture").click()
    await (await chooser.value).set_files(picture)
    found = page.get_by_role("region", name="What was found").get_by_role("row")
    await expect(found.nth(1)).to_contain_text("<b>bright</b>")
    box = await page.locator(".tried-picture rect").first.evaluate(
        "box => ['x', 'y', 'width', 'height'].map((name) => Math.round(box.getAttribute(name)))"
    )
    assert box == [256, 168, 64, 64]
    await look(page, "models")
    await page.get_by_label("Least confidence").fill("1")
    await expect(page.get_by_text("Nothing was found")).to_be_visible()
    await model.get_by_role("link", name="Create a scenario with this model").click()
    await expect(page.get_by_label("Detector", exact=True)).to_have_value("onnx")
    await expect(page.get_by_label("Model", exact=True)).to_have_value("yard/a.onnx")
    await expect(page.get_by_text("yolov8 · 640 × 640 · 2 classes")).to_be_visible()
    labels = page.get_by_label("Labels", exact=True)
    await expect(page.locator("datalist option").first).to_have_attribute("value", "<b>bright</b>")
    await labels.fill("red")
    await labels.press("Enter")
    await expect(page.get_by_role("button", name="Remove red")).to_be_visible()


async def log_in(site: Site, page: Page, key: str) -> None:
    headers = {"Origin": site.url.rstrip("/")}
    assert (await page.request.post(f"{site.url}session", data={"key": key}, headers=headers)).ok


async def test_who_may_only_look_sees_nothing_that_would_be_refused(
    server: Databases, page: Page, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"api_keys": ("a" * 32,), "viewer_keys": ("b" * 32,), "uploads": False}
    async with open_site(server, tmp_path, **settings) as site:
        models.yolov8(site.settings.model_root / "a.onnx", metadata={"names": models.NAMES})
        scenario_id = await site.create("test:testsrc2?duration=1&size=320x180", {"type": "motion"})
        await log_in(site, page, "b" * 32)
        await page.goto(f"{site.url}#/models?model=a.onnx")
        await expect(page.get_by_role("region", name="a.onnx")).to_contain_text("yolov8")
        await expect(page.get_by_text("Try on a picture")).to_have_count(0)
        await expect(page.get_by_role("link", name="Create a scenario with this model")).to_have_count(0)
        for path in ("new", f"scenarios/{scenario_id}/zones"):
            await page.goto(f"{site.url}#/{path}")
            await expect(page.get_by_text("Log in with a key that may.")).to_be_visible()
        await log_in(site, page, "a" * 32)
        await page.goto(f"{site.url}#/new")
        await page.reload()
        await expect(page.get_by_text("This process takes no uploads")).to_be_visible()
        await expect(page.get_by_role("button", name="Choose a file")).to_have_count(0)
