"""Connect to remote sources: files over HTTP, HLS playlists, RTSP cameras."""
