"""Connect FFmpeg to an RTSP camera through a proxy that writes every request and reply anew."""
