"""The look: colours, sizes, the stylesheet; and the wall between Qt and our errors."""
