"""What predictions add to a timeline."""

from collections import defaultdict
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from app.domain.prediction import Detection, Prediction
from app.predictions.timeline import BUCKET_SECONDS, count_timeline

BOX = (1.0, 2.0, 3.0, 4.0)
detections = st.lists(
    st.builds(Detection, st.sampled_from("abc"), st.sampled_from([0.0, 0.25, 0.5]), st.just(BOX)), max_size=4
)
videos = st.lists(st.tuples(st.integers(0, 4000), detections, st.sampled_from([None, "damaged"])), max_size=8)


@given(videos, st.sampled_from([0.1, 0.2, 0.5, 5, BUCKET_SECONDS]))
def test_each_label_is_counted_in_each_bucket(
    video: list[tuple[int, list[Detection], str | None]], width: float
) -> None:
    """Times are in hundredths of a second, so that exact fractions tell the bucket of each."""
    predictions = [
        Prediction(n, time / 100, tuple(found), error) for n, (time, found, error) in enumerate(video)
    ]
    expected: defaultdict[tuple[str, int], list[Detection]] = defaultdict(list)
    frames: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    failed: defaultdict[tuple[str, int], int] = defaultdict(int)
    for prediction in predictions:
        bucket = int(Fraction(video[prediction.frame][0], 100) // Fraction(str(width)))
        frames["", bucket].add(prediction.frame)
        failed["", bucket] += prediction.error is not None
        for detection in prediction.detections:
            for label in ("", detection.label):
                expected[label, bucket].append(detection)
                frames[label, bucket].add(prediction.frame)
    counts = count_timeline(predictions, width)
    numbers = zip(counts.frames, counts.detections, counts.confidences, counts.failed, strict=True)
    assert dict(zip(zip(counts.labels, counts.buckets, strict=True), numbers, strict=True)) == {
        key: (
            len(frames[key]),
            len(expected[key]),
            max((detection.confidence for detection in expected[key]), default=0.0),
            failed[key],
        )
        for key in frames
    }
