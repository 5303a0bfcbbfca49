"""Every error that the program raises on purpose.

Each carries one sentence that says what is wrong and what to do; the window and the command line
show that sentence as it is. Anything else that reaches the top is a bug and is logged as one::

    ExplorerError                 exit code 1
    ├── InputError                exit code 2: what a person gave cannot be used
    │   ├── RecipeError           a sampling setting outside its range
    │   ├── PromptError           a prompt that cannot be run (not text, no token to start from)
    │   │   └── PromptTooLongError  it leaves nothing of the context to write in
    │   ├── VerdictError          a verdict on what cannot be judged
    │   └── CheckpointError       a source folder that is not a usable GPT-2
    ├── ModelError                an installed model that is missing, broken or busy
    │   ├── UnknownModelError     exit code 2: no model has the name that was given
    │   └── DownloadError         a model that could not be fetched from the hub
    ├── EngineError               the engine could not run
    │   ├── DeviceError           the device that was asked for is not there
    │   └── OutOfMemoryError      the model and its lanes do not fit into memory
    └── LibraryError              the library file cannot be used
        ├── LibraryTooNewError    written by a newer version of the program
        ├── LibraryFullError      there is no room on its disk
        ├── LibraryBusyError      another instance of the program holds it
        ├── LibraryLostError      its file was removed or replaced while it was open
        ├── LibraryReadOnlyError  it can be read but not written
        └── LibraryDamagedError   it is not a library, or SQLite finds it damaged
"""

from __future__ import annotations


class ExplorerError(Exception):
    """Something the program can explain; ``str(error)`` is a sentence for a person."""

    exit_code = 1


class InputError(ExplorerError):
    """What a person gave cannot be used as it is."""

    exit_code = 2


class RecipeError(InputError):
    """A sampling setting is outside its allowed range."""

    setting = ""
    """Which one, where it is one alone; its name begins the sentence."""

    @classmethod
    def of(cls, setting: str, must: str) -> RecipeError:
        """Return the refusal of what is given for ``setting``, such as "must be at least 1."."""
        error = cls(f"{setting} {must}")
        error.setting = setting
        return error


class PromptError(InputError):
    """A prompt cannot be run with this model and recipe."""

    @classmethod
    def without_start(cls) -> PromptError:
        """Return the refusal of no prompt at all where the model has no token to start from."""
        return cls("This model has no <|endoftext|> token to start from; type a prompt.")


class PromptTooLongError(PromptError):
    """A prompt leaves nothing of the model's context to write in."""

    def __init__(
        self,
        tokens: int,
        context: int,
        *,
        at_least: bool = False,
        advice: str = "shorten the prompt",
    ) -> None:
        """Refuse ``tokens``; ``at_least`` says that they are not counted, but surely there."""
        has = "has at least" if at_least else "has"
        super().__init__(
            f"The prompt {has} {tokens:,} tokens and the model's context holds {context:,}, so "
            f"nothing is left to write; {advice}."
        )
        self.tokens = tokens
        self.context = context
        self.at_least = at_least

    def with_advice(self, advice: str) -> PromptTooLongError:
        """Return the refusal with other words about what to do."""
        return PromptTooLongError(self.tokens, self.context, at_least=self.at_least, advice=advice)


class VerdictError(InputError):
    """A verdict was asked for where there is nothing to judge."""


class CheckpointError(InputError):
    """A source folder is not a GPT-2 checkpoint that can be converted."""


class ModelError(ExplorerError):
    """An installed model is missing, broken or in use."""


class UnknownModelError(ModelError):
    """No model has the name that was given."""

    exit_code = 2


class DownloadError(ModelError):
    """A model could not be fetched from the hub."""


class EngineError(ExplorerError):
    """The engine could not do what it was asked."""


class InterruptedPrefillError(EngineError):
    """A prompt was stopped while it was being read; that piece has to be read again."""


class DeviceError(EngineError):
    """The device that was asked for cannot be used here."""


class OutOfMemoryError(EngineError):
    """The model and its lanes do not fit into the memory of the device."""


class LibraryError(ExplorerError):
    """The library file cannot be used as asked."""


class LibraryTooNewError(LibraryError):
    """The library was written by a newer version of the program."""


class LibraryFullError(LibraryError):
    """The disk that the library lies on is full."""


class LibraryBusyError(LibraryError):
    """Another running instance of the program holds the library."""


class LibraryLostError(LibraryError):
    """The file that is open is not the one at its place any more; it can still be read."""


class LibraryReadOnlyError(LibraryError):
    """The library can be read but not written."""


class LibraryDamagedError(LibraryError):
    """The file is not a library of this program, or SQLite reports damage."""
