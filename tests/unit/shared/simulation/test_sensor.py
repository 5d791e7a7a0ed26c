"""Images: ground that looks like its class, clouds that the scene classification partly misses, shifts that move."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest

from landseries.bands import SceneClass
from landseries.simulation.classes import LandCover
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import Datatake, Processing, Swath
from landseries.simulation.randomness import generator
from landseries.simulation.sensor import Camera, Image
from landseries.simulation.weather import make_sky, sun_position

SUMMER = datetime(2019, 7, 18, 10, 20, 31)


def datatake(cloud_share: float = 0.0, start: datetime = SUMMER, east_m: float = 0.0) -> Datatake:
    return Datatake(
        "S2A", 65, 20_000, start, (start,), Swath(), cloud_share, east_m, 0.0, False, (Processing("02.11", start),)
    )


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera(Geometry(256), 2019, Difficulty(), 2)


@pytest.fixture(scope="module")
def clear(camera: Camera) -> Image:
    return camera.take(datatake())


def typical(camera: Camera, image: Image, band: str, cover: LandCover) -> float:
    classes = camera.history.on(SUMMER.date())
    values = image.bands[band]
    step = len(classes) // len(values)
    return float(np.median(values[classes[::step, ::step] == cover]))


def test_classes_look_like_themselves(camera: Camera, clear: Image) -> None:
    def index(first: str, second: str, cover: LandCover) -> float:
        a, b = typical(camera, clear, first, cover), typical(camera, clear, second, cover)
        return (a - b) / (a + b)

    for cover in (LandCover.BROADLEAVES, LandCover.GRASS, LandCover.CONIFERS):
        assert index("B08", "B04", cover) > 0.5
    for cover in (LandCover.ROCKS, LandCover.SAND, LandCover.MINERAL, LandCover.WATER, LandCover.SNOW):
        assert index("B08", "B04", cover) < 0.4
    assert index("B03", "B11", LandCover.SNOW) > 0.5
    assert typical(camera, clear, "B11", LandCover.WATER) < 500
    deciduous = typical(camera, clear, "B08", LandCover.BROADLEAVES)
    assert deciduous > 1.2 * typical(camera, clear, "B08", LandCover.CONIFERS)


def test_an_image_does_not_depend_on_those_before(camera: Camera, clear: Image) -> None:
    camera.take(datatake(0.5, datetime(2019, 3, 1, 10, 20, 31)))
    again = camera.take(datatake())
    assert all((again.bands[name] == clear.bands[name]).all() for name in clear.bands)
    assert (again.scene == clear.scene).all()


def test_winter_brings_snow_to_the_heights(camera: Camera) -> None:
    winter = camera.take(datatake(start=datetime(2019, 2, 6, 10, 20, 31)))
    high = camera.landscape.altitude_m[::2, ::2] > 2_000
    forest = np.isin(camera.history.truth(2019)[::2, ::2], (LandCover.CONIFERS, LandCover.BROADLEAVES))
    assert np.isin(winter.scene[high & ~forest], (SceneClass.SNOW, SceneClass.CLOUD_MEDIUM)).mean() > 0.8


def test_thin_cloud_and_some_shadow_stay_unseen_and_bright_ground_is_mistaken(camera: Camera) -> None:
    takes = [datatake(0.25, datetime(2019, 7, day, 10, 20, 31)) for day in range(2, 22, 2)]
    images = [camera.take(take) for take in takes]
    skies = [make_sky((256, 256), take.cloud_share, take.day, generator(2, "image", take.name)) for take in takes]
    scene = np.stack([image.scene for image in images])
    cloud = np.stack([sky.cloud[::2, ::2] for sky in skies])
    shadow = np.stack([sky.shadow[::2, ::2] for sky in skies])
    called_cloud = np.isin(scene, (SceneClass.CLOUD_MEDIUM, SceneClass.CLOUD_HIGH))
    assert called_cloud[cloud > 0.6].mean() > 0.98
    assert 0.02 < called_cloud[(cloud > 0.02) & (cloud < 0.2)].mean() < 0.95
    found = (scene == SceneClass.CLOUD_SHADOW)[(shadow > 0.5) & (cloud < 0.02)].mean()
    expected = 1 - Difficulty().missed_shadow_share
    assert expected - 0.2 < found < expected + 0.2
    bright = np.isin(camera.history.on(date(2019, 7, 10))[::2, ::2], (LandCover.SAND, LandCover.MINERAL))
    assert 0.01 < called_cloud[:, bright][cloud[:, bright] < 0.01].mean() < 0.25


def test_clouds_cover_what_they_are_asked_to() -> None:
    for share in (0.1, 0.4, 0.8):
        sky = make_sky((256, 256), share, SUMMER.date(), generator(1, "sky"))
        assert abs(float((sky.cloud > 0).mean()) - share) < 0.03
        assert float((sky.shadow > 0.5).mean()) > 0.02 or share == 0.8


def test_registration_moves_the_image(camera: Camera, clear: Image) -> None:
    moved = camera.take(datatake(east_m=10.0)).bands["B08"].astype(float)
    still = clear.bands["B08"].astype(float)
    right = np.corrcoef(still[:, :-1].ravel(), moved[:, 1:].ravel())[0, 1]
    same = np.corrcoef(still.ravel(), moved.ravel())[0, 1]
    assert right > same


def test_difficulty_switches_off(camera: Camera) -> None:
    quiet = replace(Difficulty(), false_cloud_share=0.0, missed_shadow_share=0.0)
    image = Camera(Geometry(256), 2019, quiet, 2).take(datatake())
    assert not np.isin(image.scene, (SceneClass.CLOUD_MEDIUM, SceneClass.CLOUD_HIGH)).any()


def test_the_sun_stands_where_it_does() -> None:
    june, december = sun_position(date(2019, 6, 21)), sun_position(date(2019, 12, 21))
    assert 58 < june.elevation_deg < 67
    assert 15 < december.elevation_deg < 20
    assert 130 < june.azimuth_deg < 165
    assert 150 < december.azimuth_deg < 175
