"""The settings of every step: one module and one model per service.

They live in the shared distribution, so that a run can be checked where no service is installed. Every field has a
description and says where its default comes from: the paper (`paper`) or landseries (`ours`).
"""
