"""The page of models: how each is understood, or why not, and a try on one picture."""

from pathlib import Path

import cv2
import numpy as np
from playwright.async_api import Page, expect

from tests.browser.looking import look
from tests.browser.site import Site
from tests.support import models

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
