"""Sources that lead where none may be: to files outside the media root, and into the network behind it."""

import os
from pathlib import Path

from msgspec import Struct

from tests.support.hostile_servers import HERE, INSIDE, RTSP_OK, page, to

HOSTS = [
    INSIDE, "127.2", "127.0.2", "0177.0.0.2", "0177.2", "0x7f.0.0.2", "0x7f000002", "2130706434",
    "017700000002", "127。0。0。2", "127．0．0．2", "①②⑦.0.0.②", "user:word@127.0.0.2",
    f"{HERE}@127.0.0.2", f"{HERE}%40@127.0.0.2", "[::1]", "[::ffff:127.0.0.2]", "[::ffff:7f00:2]",
    "[0:0:0:0:0:ffff:7f00:0002]", "[64:ff9b::7f00:2]", "[2002:7f00:2::1]", "[::127.0.0.2]", "0.0.0.0", "0",  # noqa: S104
    "[::]", "169.254.169.254", "[::ffff:169.254.169.254]", "0xa9fea9fe", "2852039166",
    "0251.0376.0251.0376", "[fe80::1]", "100.100.100.200", "[fd00:ec2::254]", "255.255.255.255",
    "224.0.0.1", "inside.example", "many.example", "metadata.example", "mapped.example",
]  # fmt: skip
"""Of places where no source may be: this machine's other addresses, and those that no camera has."""

NAMES = {
    "inside.example": [INSIDE],
    "many.example": ["::1", INSIDE],
    "metadata.example": ["169.254.169.254"],
    "mapped.example": ["::ffff:127.0.0.2"],
}

_TEXTS = [
    "file:{path}", "file://{path}", "FILE:{path}", "concat:{path}", "concat:{path}|{path}",
    "subfile,,start,0,end,0,,:{path}", "subfile:,,start,0,end,0,,:{path}", "crypto:{path}",
    "crypto+file:{path}", "async:{path}", "cache:{path}", "concatf:{path}", "data:text/plain,{path}",
    "pipe:0", "fd:0", "unix:{path}", "tee:{path}", "md5:{path}", "hls+file:{path}", "hls+{url}",
    "async:{url}", "cache:{url}", "crypto+{url}", "icecast://{place}/x", "ftp://{place}/x",
    "sftp://{place}/x", "gopher://{place}/x", "gophers://{place}/x", "tcp://{place}", "tls://{place}",
    "udp://{place}", "rtp://{place}", "srtp://{place}", "rtmp://{place}/x", "rtmpt://{place}/x",
    "mmst://{place}/x", "mmsh://{place}/x", "httpproxy://{place}/x", "srt://{place}", "smb://{place}/x",
    "ipfs:{place}", "lavfi:movie={path}", "movie={path}:x", "image2:{path}", "v4l2:/dev/video0",
    "x11grab::0", "sdp:{path}", "\thttp://{place}/", "http:{place}/x", "http:/{place}/x", "http:///{place}",
    "http://user%0d%0aX:y@{place}/x", "http://{place}/x%0d%0aX:y", "rtsp://user%0D%0AX:y@{place}/x",
    "rtsp://user:%00@{place}/x", "rtsp:{place}/x", "https:\\\\{place}/x", "{url}\n", " file:{path}",
    "test:movie={path}",
    "test:testsrc,movie={path}", "test:amovie={path}", "test:testsrc?size=16x16,movie={path}",
    "test:color?duration=1;movie={path}",
    "{path}", "../{name}", "./../{name}", "sub/../../{name}", "sub/./.././../{name}", "..\\{name}",
    "%2e%2e/{name}", "..%2f{name}", "link.ts", "up/{name}", "sub/up/../../{name}", "link-to-link.ts",
    "//{path}", "/proc/self/environ", "/dev/stdin", "sub", "fifo.ts", "{name}\0.ts", "~/{name}",
    "list.m3u8", "near.m3u8", "web.m3u8", "list.ts", "list.ffconcat", "live.sdp", "dash.mpd", "image_%03d.ts",
    "reference.mov",
]  # fmt: skip
"""What is no URL of a camera or web server, and no recording below the media root."""

_LISTS = {
    "segment": "#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n",
    "later": "#EXTINF:2,\n/fine.ts\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n",
    "live": "#EXTINF:2,\n{target}\n",
    "range": "#EXTINF:2,\n#EXT-X-BYTERANGE:500@100\n{target}\n#EXT-X-ENDLIST\n",
    "variant": "#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n",
    "map": '#EXT-X-MAP:URI="{target}"\n#EXTINF:2,\n/fine.ts\n#EXT-X-ENDLIST\n',
    "key": '#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:2,\n/fine.ts\n#EXT-X-ENDLIST\n',
    "sample-key": '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="{target}"\n#EXTINF:2,\n/fine.ts\n#EXT-X-ENDLIST\n',
    "sound": '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,URI="{target}"\n'
    '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\n/fine.m3u8\n',
}
_SDP = (
    "v=0\r\no=- 1 1 IN IP4 {inside}\r\ns=x\r\nc=IN IP4 {inside}\r\nt=0 0\r\na=control:rtsp://{place}/all\r\n"
    "m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:rtsp://{place}/track/{number}\r\n"
)
_TRANSPORTS = [
    "RTP/AVP;unicast;client_port=5000-5001;source={inside};server_port={port}-{port}",
    "RTP/AVP/UDP;unicast;destination={inside};client_port={port}-{port};server_port={port}-{port}",
    "RTP/AVP;multicast;destination={inside};port={port}-{port};ttl=1",
]


class World(Struct, frozen=True):
    """The canary's port, a secret file outside the media root, and what a playable segment holds."""

    port: int
    secret: Path
    fine: bytes

    @property
    def place(self) -> str:
        """The canary."""
        return f"{INSIDE}:{self.port}"

    @property
    def url(self) -> str:
        """The canary, as a web server."""
        return f"http://{self.place}/secret.ts"

    def spellings(self, scheme: str) -> list[str]:
        """URLs of the canary, and of other places where none may be."""
        return [f"{scheme}://{host}:{self.port}/secret.mp4" for host in HOSTS]

    def texts(self) -> list[str]:
        """Other sources, some of which name what `fill` makes."""
        known = {"path": self.secret, "name": self.secret.name, "place": self.place, "url": self.url}
        return [text.format(**known) for text in _TEXTS]

    def fill(self, media_root: Path) -> None:
        """Make links and files below the media root that lead out of it."""
        (media_root / "sub").mkdir()
        (media_root / "link.ts").symlink_to(self.secret)
        (media_root / "link-to-link.ts").symlink_to("link.ts")
        (media_root / "up").symlink_to("..")
        (media_root / "sub" / "up").symlink_to("../..")
        os.mkfifo(media_root / "fifo.ts")
        for name in ("list.m3u8", "list.ts"):
            (media_root / name).write_bytes(_playlist("segment", str(self.secret)))
        (media_root / "near.m3u8").write_bytes(_playlist("segment", f"../{self.secret.name}"))
        (media_root / "web.m3u8").write_bytes(_playlist("segment", self.url))
        (media_root / "list.ffconcat").write_text(f"ffconcat version 1.0\nfile '{self.secret}'\n")
        sdp = _SDP.format(inside=INSIDE, place=self.place, port=self.port, number=0)
        (media_root / "live.sdp").write_text(sdp)
        (media_root / "dash.mpd").write_text(f'<?xml version="1.0"?><MPD><BaseURL>{self.url}</BaseURL></MPD>')
        url = self.url.encode() + b"\0"
        box = b""
        for kind in (b"rdrf", b"rmda", b"rmra", b"moov"):
            content = box or b"\0\0\0\0url " + len(url).to_bytes(4) + url
            box = (len(content) + 8).to_bytes(4) + kind + content
        (media_root / "reference.mov").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + box)

    def pages(self) -> dict[str, bytes]:
        """Of a web server: redirects, and playlists of every construction."""
        pages = {
            "/fine.ts": page(self.fine),
            "/fine.m3u8": page(_playlist("segment", "/fine.ts")),
            "/disguised.mp4": page(_playlist("segment", self.url), Content_Type="video/mp4"),
            "/typed": page(_playlist("segment", self.url), Content_Type="application/x-mpegurl"),
            "/stream": b"HTTP/1.1 200 OK\r\n\r\n" + _playlist("segment", str(self.secret)),
            "/moved.m3u8": to(f"http://{INSIDE}:{self.port}/list.m3u8"),
        }
        elsewhere = [f"file://{self.secret}", f"ftp://{self.place}/x", f"rtsp://{self.place}/x", "http://"]
        elsewhere += [f"//{self.place}/x", f"concat:{self.secret}", f"data:,{self.secret}", "/r/0", "\\\\"]
        for number, target in enumerate([*self.spellings("http"), *self.spellings("https"), *elsewhere]):
            pages[f"/r/{number}"] = to(target, f"{(301, 302, 303, 307, 308, 300)[number % 6]} Moved")
            pages[f"/chain/{number}.mp4"] = to(f"/r/{number}")
        targets = [str(self.secret), f"file://{self.secret}", f"file:{self.secret}", f"concat:{self.secret}"]
        targets += [self.url, f"//{self.place}/x.ts", f"http://[::1]:{self.port}/x.ts", f"tcp://{self.place}"]
        targets += ["http://inside.example/x.ts", f"rtsp://{self.place}/x.ts", f"crypto+{self.url}", "/r/0"]
        targets += [f"crypto+file://{self.secret}", f"subfile,,start,0,end,0,,:{self.secret}", "data:,x.ts"]
        for name in _LISTS:
            # A live playlist is waited for, however useless it is.
            for number, target in enumerate(targets[3:5] if name == "live" else targets):
                pages[f"/{name}/{number}.m3u8"] = page(_playlist(name, target))
        return pages

    def script(self) -> dict[str, bytes]:
        """Of a camera: redirects, and streams that lead elsewhere."""
        script = {}
        elsewhere = [self.url, f"file://{self.secret}", "", "rtsp://", f"rtsps://{self.place}/x"]
        for number, target in enumerate([*self.spellings("rtsp"), *elsewhere]):
            said = f"RTSP/1.0 {300 + number % 9} Moved\r\nCSEQ\r\nLocation: {target}\r\n\r\n"
            script[f"/r/{number} {('OPTIONS', 'DESCRIBE')[number % 2]}"] = said.encode()
        for number, transport in enumerate(_TRANSPORTS):
            known = {"inside": INSIDE, "place": self.place, "port": self.port, "number": number}
            sdp = _SDP.format(**known).encode()
            base = f"Content-Base: rtsp://{self.place}/\r\nContent-Type: application/sdp\r\n"
            size = f"Content-Length: {len(sdp)}\r\n\r\n"
            script[f"/sdp/{number} DESCRIBE"] = RTSP_OK + (base + size).encode() + sdp
            setup = f"Session: 1\r\nTransport: {transport.format(**known)}\r\n\r\n"
            script[f"/track/{number} SETUP"] = RTSP_OK + setup.encode()
        return script


def paths(script: dict[str, bytes]) -> list[str]:
    """The paths to begin at."""
    return [path for path in dict.fromkeys(key.partition(" ")[0] for key in script) if "/track/" not in path]


def _playlist(construction: str, target: str) -> bytes:
    text = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n" + _LISTS[construction]
    return text.format(target=target).encode()
