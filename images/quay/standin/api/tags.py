"""A repository's present and former tags."""

from flask import Blueprint, Response, jsonify, request

from standin import stored_manifests, tags, views
from standin.api.requests import Answer, Api, nothing
from standin.refusals import not_done

TAG = "/repository/<path:path>/tag/<name>"


def add_routes(blueprint: Blueprint, api: Api) -> None:
    """Add their routes."""

    @blueprint.get("/repository/<path:path>/tag/")
    def tag_list(path: str) -> Answer:
        """List the present tags and, unless only active ones are wanted, the former tags."""
        if "filter_tag_name" in request.args:
            not_done("filter_tag_name")
        limit = request.args.get("limit", 50, type=int)
        number = request.args.get("page", 1, type=int)
        wanted = request.args.get("specificTag")
        only_active = request.args.get("onlyActiveTags") == "true"
        with api.engine.connect() as connection:
            found = tags.history(connection, api.repository(connection, path, "read"))
        shown = [
            views.tag(tag)
            for tag in found
            if wanted in (None, tag.name) and (tag.ended is None or not only_active)
        ]
        begin, end = (number - 1) * limit, number * limit
        return {
            "tags": shown[begin:end],
            "page": number,
            "has_additional": len(shown) > end,
        }, 200

    @blueprint.put(TAG)
    def set_tag(path: str, name: str) -> Answer:
        """Point a tag at an existing manifest."""
        with api.engine.begin() as connection:
            found = api.repository(connection, path, "write")
            digest = api.body().get("manifest_digest")
            if digest is None:
                not_done("the expiration of a tag")
            if stored_manifests.get(connection, found, str(digest)) is None:
                api.not_found()
            tags.point(connection, found, name, str(digest))
        return jsonify("Updated"), 201

    @blueprint.post(f"{TAG}/restore")
    def restore(path: str, name: str) -> Answer:
        """Point a tag at its former manifest."""
        with api.engine.begin() as connection:
            found = api.repository(connection, path, "write")
            digest = str(api.body("manifest_digest")["manifest_digest"])
            past = tags.history(connection, found)
            if not any((tag.name, tag.digest) == (name, digest) for tag in past):
                api.not_found()
            tags.point(connection, found, name, digest)
        return {}, 200

    @blueprint.delete(TAG)
    def delete_tag(path: str, name: str) -> Response:
        """Delete a tag."""
        with api.engine.begin() as connection:
            found = api.repository(connection, path, "write")
            if not tags.delete(connection, found, name):
                api.not_found()
        return nothing()
