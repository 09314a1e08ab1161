"""Where the texts of boxes stand."""

from hypothesis import given
from hypothesis import strategies as st

from app.video.labels import Rectangle, place_text

PICTURE, SIZE = (640, 480), (80, 16)
boxes = st.tuples(*[st.floats(-50, 700)] * 4)


def place_all(boxes: list[Rectangle]) -> list[Rectangle]:
    places: list[Rectangle] = []
    for box in boxes:
        places.append(place_text(box, SIZE, PICTURE, places))
    return places


def test_texts_of_boxes_at_one_place_do_not_cover_each_other() -> None:
    places = place_all([(200, 200, 400, 400)] * 8)
    assert list(places[0]) == [200, 184, 280, 200]  # above the box
    for n, (left, top, right, bottom) in enumerate(places):
        for other in places[:n]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]


def test_a_text_at_the_top_of_the_picture_is_inside_its_box() -> None:
    assert place_all([(100, 5, 300, 400)]) == [(100, 5, 180, 21)]


@given(st.lists(boxes, max_size=30))
def test_texts_are_within_the_picture(found: list[Rectangle]) -> None:
    for left, top, right, bottom in place_all(found):
        assert left >= 0
        assert top >= 0
        assert right <= PICTURE[0]
        assert bottom <= PICTURE[1]
