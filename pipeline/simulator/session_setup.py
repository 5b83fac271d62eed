"""The first message of a connection, read and judged as the service judges it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.simulator import models
from pipeline.simulator.fields import flag, items, table, text, whole, words
from pipeline.simulator.refusal import invalid_argument, no_model, unknown_name
from pipeline.simulator.script import Script
from pipeline.simulator.vad import Detection
from pipeline.simulator.wire import Message

SETUP_KEYS = frozenset(
    [
        "model",
        "generationConfig",
        "systemInstruction",
        "tools",
        "sessionResumption",
        "contextWindowCompression",
        "inputAudioTranscription",
        "outputAudioTranscription",
        "realtimeInputConfig",
        "proactivity",
        "explicitVadSignal",
        "historyConfig",
        "avatarConfig",
        "safetySettings",
        "labels",
    ]
)
"""Everything the service knows in a setup; any other name ends the connection, which is how typing errors are found."""

GENERATION_KEYS = frozenset(
    [
        "candidateCount",
        "enableAffectiveDialog",
        "frequencyPenalty",
        "logprobs",
        "maxOutputTokens",
        "mediaResolution",
        "presencePenalty",
        "responseJsonSchema",
        "responseLogprobs",
        "responseMimeType",
        "responseModalities",
        "responseSchema",
        "seed",
        "speechConfig",
        "stopSequences",
        "temperature",
        "thinkingConfig",
        "topK",
        "topP",
        "translationConfig",
    ]
)

INPUT_KEYS = frozenset(
    ["automaticActivityDetection", "activityHandling", "turnCoverage", "interimTranscriptTimestampEnabled"]
)
DETECTION_KEYS = frozenset(
    ["disabled", "startOfSpeechSensitivity", "endOfSpeechSensitivity", "prefixPaddingMs", "silenceDurationMs"]
)
_SLOW_END_MS = 1000
CONTEXT_TOKENS = 131_072


@dataclass(frozen=True)
class Setup:
    """What the client asked for. `detection` None: the client itself says when someone speaks.

    `functions`: name to whether the model may go on talking while it runs. `handle`: None without resumption, empty
    for a new conversation.
    """

    model: str
    speaks: bool = True
    transcribe_input: bool = False
    transcribe_output: bool = False
    detection: Detection | None = field(default_factory=Detection)
    interruptible: bool = True
    counts_silence: bool = False
    functions: Mapping[str, bool] = field(default_factory=dict)
    handle: str | None = None
    instruction: str = ""
    starts_with_history: bool = False
    compression: tuple[int, int] | None = None

    def with_update(self, update: Message) -> "Setup":
        """This setup after a `contextUpdate`. Raises `Refused`."""
        changed = self
        if "systemInstruction" in update:
            changed = replace(changed, instruction=words(update["systemInstruction"], "systemInstruction"))
        if "tools" in update:
            tools = update["tools"]
            if isinstance(tools, dict) and "tools" in tools:
                tools = tools["tools"]
            changed = replace(changed, functions=_functions(tools, self.model))
        return changed


def read_setup(message: Message, script: Script, version: str) -> Setup:
    """The setup in `message["setup"]`. Raises `Refused`."""
    setup = table(message["setup"], "setup")
    _only(setup, SETUP_KEYS, "setup")
    model = text(setup.get("model"), "setup.model")
    if not model:
        raise invalid_argument("setup.model is missing")
    if not script.accepts_model(model):
        raise no_model(model, version)
    generation = table(setup.get("generationConfig"), "setup.generationConfig")
    _only(generation, GENERATION_KEYS, "setup.generation_config")
    models.check(model, generation, table(setup.get("proactivity"), "setup.proactivity"))
    realtime = table(setup.get("realtimeInputConfig"), "setup.realtimeInputConfig")
    _only(realtime, INPUT_KEYS, "setup.realtime_input_config")
    resumption = setup.get("sessionResumption")
    return Setup(
        model=model,
        speaks=_speaks(generation),
        transcribe_input=setup.get("inputAudioTranscription") is not None,
        transcribe_output=setup.get("outputAudioTranscription") is not None,
        detection=_detection(table(realtime.get("automaticActivityDetection"), "automaticActivityDetection")),
        interruptible=_interruptible(realtime),
        counts_silence=realtime.get("turnCoverage") == "TURN_INCLUDES_ALL_INPUT",
        functions=_functions(setup.get("tools"), model),
        handle=None if resumption is None else text(table(resumption, "sessionResumption").get("handle"), "handle"),
        instruction=words(setup.get("systemInstruction"), "setup.systemInstruction"),
        starts_with_history=flag(
            table(setup.get("historyConfig"), "historyConfig").get("initialHistoryInClientContent"), "historyConfig"
        ),
        compression=_compression(table(setup.get("contextWindowCompression"), "contextWindowCompression")),
    )


def _compression(asked: Message) -> tuple[int, int] | None:
    """(trigger, target) in tokens. Without a mechanism (there is but one, the sliding window) nothing is compressed."""
    _only(asked, frozenset(["triggerTokens", "slidingWindow"]), "setup.context_window_compression")
    trigger = whole(asked.get("triggerTokens"), "triggerTokens", 0) or CONTEXT_TOKENS * 8 // 10
    window = table(asked.get("slidingWindow"), "slidingWindow")
    _only(window, frozenset(["targetTokens"]), "setup.context_window_compression.sliding_window")
    target = whole(window.get("targetTokens"), "targetTokens", 0) or trigger // 2
    if target > trigger:
        raise invalid_argument(f"a window of {target} tokens is larger than the {trigger} that trigger it")
    return None if asked.get("slidingWindow") is None else (trigger, target)


def _only(found: Message, known: frozenset[str], where: str) -> None:
    for name in found:
        if name not in known:
            raise unknown_name(name, where)


def _speaks(generation: Message) -> bool:
    asked = generation.get("responseModalities") or "AUDIO"
    given = [asked] if isinstance(asked, str) else items(asked, "responseModalities")  # browsers' old clients: "audio"
    modalities = [text(each, "responseModalities").upper() for each in given]
    if modalities not in (["AUDIO"], ["TEXT"]):
        raise invalid_argument(f"responseModalities must be AUDIO or TEXT, one of them, not {asked}")
    return modalities == ["AUDIO"]


def _interruptible(realtime: Message) -> bool:
    asked = text(realtime.get("activityHandling"), "activityHandling")
    if asked not in ("", "ACTIVITY_HANDLING_UNSPECIFIED", "START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"):
        raise invalid_argument(f"activityHandling cannot be {asked}")
    return asked != "NO_INTERRUPTION"


def _detection(asked: Message) -> Detection | None:
    _only(asked, DETECTION_KEYS, "setup.realtime_input_config.automatic_activity_detection")
    if flag(asked.get("disabled"), "disabled"):
        return None
    quick_start = _is_high(asked, "startOfSpeechSensitivity", "START_SENSITIVITY_")
    quick_end = _is_high(asked, "endOfSpeechSensitivity", "END_SENSITIVITY_")
    usual = Detection()
    if not quick_start:
        usual = replace(usual, margin_db=usual.margin_db + 6, quietest_dbfs=usual.quietest_dbfs + 8)
    if not quick_end:
        usual = replace(usual, silence_ms=_SLOW_END_MS, slack_db=2 * usual.slack_db)
    return replace(
        usual,
        prefix_ms=whole(asked.get("prefixPaddingMs"), "prefixPaddingMs", usual.prefix_ms),
        silence_ms=whole(asked.get("silenceDurationMs"), "silenceDurationMs", usual.silence_ms),
    )


def _is_high(asked: Message, key: str, prefix: str) -> bool:
    value = text(asked.get(key), key)
    if value not in ("", *(prefix + name for name in ("UNSPECIFIED", "HIGH", "LOW"))):
        raise invalid_argument(f"{key} cannot be {value}")
    return not value.endswith("LOW")


def _functions(tools: object, model: str) -> dict[str, bool]:
    functions: dict[str, bool] = {}
    for tool in items(tools, "tools"):
        for declared in items(table(tool, "tools").get("functionDeclarations"), "functionDeclarations"):
            declaration = table(declared, "functionDeclarations")
            name = text(declaration.get("name"), "functionDeclarations.name")
            if not name or name in functions:
                raise invalid_argument(f"a function needs a name of its own, not {name!r}")
            functions[name] = models.talks_on(model, text(declaration.get("behavior"), "behavior"))
    return functions
