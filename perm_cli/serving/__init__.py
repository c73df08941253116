"""The reward over HTTP: `app` has the routes, `bodies` the request and response models, `guard` the access control."""
