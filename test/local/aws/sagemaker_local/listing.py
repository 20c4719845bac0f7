"""What the List operations have in common: filters, order, pages."""

from .errors import ValidationError

# The API reference: MaxResults is 10 unless it says otherwise.
PAGE = 10


def select(records, request, name, status=None, order="Descending"):
    """The records that the filters of a List request let through, in the order it asks for; order is its default."""
    found = list(records)
    if "NameContains" in request:
        found = [r for r in found if request["NameContains"].lower() in r[name].lower()]
    if status and "StatusEquals" in request:
        found = [r for r in found if r[status] == request["StatusEquals"]]
    for member in ("CreationTime", "LastModifiedTime"):
        if member + "After" in request:
            found = [r for r in found if r[member] > request[member + "After"]]
        if member + "Before" in request:
            found = [r for r in found if r[member] < request[member + "Before"]]
    by = request.get("SortBy", "CreationTime")
    key = {"Name": lambda r: r[name], "Status": lambda r: r[status] if status else ""}.get(by, lambda r: r["CreationTime"])
    return sorted(found, key=key, reverse=request.get("SortOrder", order) == "Descending")


def page(items, request, most=PAGE):
    """One page of the items, and the token of the next."""
    token = request.get("NextToken", "0")
    if not token.isdigit():
        raise ValidationError("The token provided is invalid.")
    start, size = int(token), request.get("MaxResults", most)
    following = {"NextToken": str(start + size)} if start + size < len(items) else {}
    return items[start:start + size], following
