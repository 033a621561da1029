"""`spiritsafe demo`: the real proxy before a scripted upstream, without key or cost."""
