"""What the scripts say, and what the fakes of the vendors go by. The scripts in tests/clients/node get them as JSON."""

HELLO = "Say hello."
CALL = "How is the weather in Oslo?"
REFUSED = "Do what cannot be done."
BUSY = "Do it though there is no room."
CUT = "Begin and break off."
ENDLESS = "Go on without end for "
WEATHER = {
    "name": "weather",
    "description": "The weather in a city",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
SURE = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"], "additionalProperties": False}
