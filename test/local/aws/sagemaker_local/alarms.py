"""Amazon CloudWatch, as SageMaker uses it: are alarms in ALARM?"""

import http.client
import urllib.parse
import xml.etree.ElementTree as ElementTree

_HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request",
}


class Alarms:
    def __init__(self, host, port):
        self._host, self._port = host, port

    def states(self, names):
        """The state of each of the alarms that there are, by name."""
        if not names:
            return {}
        form = {"Action": "DescribeAlarms", "Version": "2010-08-01"}
        for i, name in enumerate(names, 1):
            form[f"AlarmNames.member.{i}"] = name
        connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
        try:
            connection.request("POST", "/", urllib.parse.urlencode(form), _HEADERS)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"describing the alarms {names}: {response.status} {body.decode(errors='replace')}")
        found = {}
        for item in ElementTree.fromstring(body).iter():
            children = {child.tag.rpartition("}")[2]: child.text for child in item}
            if "AlarmName" in children and "StateValue" in children:
                found[children["AlarmName"]] = children["StateValue"]
        return found
