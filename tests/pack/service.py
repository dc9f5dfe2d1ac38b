"""The customer-service centre, at the CRM: complaints, service requests and the parts that repairs take."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.pack.desk import Desk, Row


class Service(Desk):
    def complains(self, account: UUID, product: UUID, defect: str, order: UUID | None = None, **columns: Any) -> UUID:
        """A complaint; about an order, if one is known."""
        quantity = columns.pop("quantity", None)
        with self.connection.transaction():
            ticket = self._ticket(account, product, columns)
            self.do(
                "INSERT INTO crm.complaint (id, sales_order_id, defect, quantity) VALUES (%s, %s, %s, %s)",
                ticket, order, defect, quantity,
            )  # fmt: skip
        return ticket

    def requests(self, account: UUID, product: UUID, serial: str | None = None, **columns: Any) -> UUID:
        """A service request; for the machine with that serial number."""
        visit, technician = columns.pop("visit_on", None), columns.pop("technician", None)
        with self.connection.transaction():
            ticket = self._ticket(account, product, columns)
            self.do(
                "INSERT INTO crm.service_request (id, serial_no, visit_on, technician) VALUES (%s, %s, %s, %s)",
                ticket, serial, visit, technician,
            )  # fmt: skip
        return ticket

    def uses(self, request: UUID, product: UUID, quantity: float) -> UUID:
        sql = "INSERT INTO crm.service_part (service_request_id, product_id, quantity) VALUES (%s, %s, %s) RETURNING id"
        return self.value(sql, request, product, quantity)  # type: ignore[no-any-return]

    def sees_complaint(self, ticket: UUID) -> Row | None:
        """(has a number, batch, result of the quality record, resolution, cost, status)."""
        return self.row(
            "SELECT complaint_no IS NOT NULL, batch_no, quality_result, resolution, cost, status"
            " FROM crm.complaint JOIN crm.ticket USING (id) WHERE id = %s",
            ticket,
        )

    def sees_request(self, ticket: UUID) -> Row | None:
        """(has a number, under warranty, cost of parts, cost of labour, status)."""
        return self.row(
            "SELECT service_no IS NOT NULL, under_warranty, parts_cost, labour_cost, status"
            " FROM crm.service_request JOIN crm.ticket USING (id) WHERE id = %s",
            ticket,
        )

    def _ticket(self, account: UUID, product: UUID, columns: dict[str, Any]) -> UUID:
        given = {"account_id": account, "product_id": product, "subject": "It rattles", **columns}
        names, marks = ", ".join(given), ", ".join(["%s"] * len(given))
        return self.value(f"INSERT INTO crm.ticket ({names}) VALUES ({marks}) RETURNING id", *given.values())  # type: ignore[no-any-return]
