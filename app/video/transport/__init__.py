"""How remote sources are reached: files over HTTP, HLS playlists, RTSP."""
